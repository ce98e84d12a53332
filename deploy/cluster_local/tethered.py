"""`python -m deploy.cluster_local.tethered LOG COMMAND...`: a `penstock` command as a child.

It ends when its standard input closes, whose other end its supervisor alone holds; what it says
goes to the end of the file LOG.
"""

import os
import sys

from penstock.cli.main import run
from penstock.demo import tether


def main() -> int:
    """The exit code of the command."""
    said = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(said, stream.fileno())
    tether.end_with_parent()
    return run(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
