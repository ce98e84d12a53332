"""`python -m penstock.demo.cluster FOLDER`: what `make cluster` does, in the demo's folder."""

import os
import sys
from pathlib import Path

from deploy.cluster_local.__main__ import main as run
from penstock.demo import tether
from penstock.demo.folder import Folder


def main() -> int:
    """Runs until the demo ends; what it says goes to a file."""
    folder = Folder(Path(sys.argv[1]))
    story = folder.kept()
    assert story is not None
    tether.end_with_parent()
    tether.forget_settings()
    said = os.open(folder.up_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(said, sys.stderr.fileno())
    return run(["--data", str(folder.cluster), "--port", str(story.port)])


if __name__ == "__main__":
    sys.exit(main())
