"""`python -m penstock.demo.up FOLDER`: what `penstock up` does, on the demo's installation."""

import os
import sys
from pathlib import Path

from penstock import starting
from penstock.cli.output import Output
from penstock.demo import tether
from penstock.demo.folder import Folder
from penstock.settings import read_settings
from streams.errors import Error


def main() -> int:
    """Runs until the demo ends; what `up` and its children say goes to a file."""
    folder = Folder(Path(sys.argv[1]))
    story = folder.kept()
    assert story is not None
    tether.end_with_parent()
    tether.forget_settings()
    os.environ.update(folder.environ(story))
    said = os.open(folder.up_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(said, sys.stderr.fileno())
    try:
        return starting.up(read_settings(os.environ), Output())
    except Error as error:
        Output().fail(error, 1)
        return 1


if __name__ == "__main__":
    sys.exit(main())
