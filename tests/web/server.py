"""`python -m tests.web.server FOLDER`: a real server on a free port, until SIGTERM."""

import signal
import sys
import threading
from pathlib import Path

from penstock.web.serve import serve
from tests.web.places import Place


def main(folder: Path) -> None:
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    place = Place(folder)
    serve(place.app, "127.0.0.1", 0, stop, started=lambda port: print(port, flush=True))
    place.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
