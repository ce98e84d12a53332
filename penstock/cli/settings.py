"""The settings and the installation that a command works on."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from penstock.installation import Installation, opened
from penstock.settings import Settings, read_settings


def settings() -> Settings:
    """As the environment gives them."""
    return read_settings(os.environ)


@contextmanager
def installation() -> Iterator[Installation]:
    """The installation that the environment names, open for one command."""
    with opened(settings()) as here:
        yield here
