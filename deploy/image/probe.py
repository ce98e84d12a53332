"""The image's health check: the role in this container lives, else the exit code is not 0.

Worker and control answer on PENSTOCK_OPS_PORT, web on its own port.
"""

import os
import urllib.request

port = os.environ.get("PENSTOCK_OPS_PORT") or os.environ.get("PENSTOCK_PORT") or "8080"
urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2).close()
