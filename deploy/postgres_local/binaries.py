"""The newest PostgreSQL of this machine, and the account that may run it."""

import os
import pwd
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.postgres_local.errors import MissingError

_PACKAGE = "Debian: apt-get install postgresql; macOS: brew install postgresql"


@dataclass(frozen=True)
class Account:
    """Whom to run as; nothing to change unless we are root, whom PostgreSQL refuses."""

    user: int | None = None
    group: int | None = None

    def take(self, folder: Path) -> None:
        """The folder is the account's own."""
        if self.user is not None and self.group is not None:
            shutil.chown(folder, self.user, self.group)

    def options(self) -> dict[str, Any]:
        """For `subprocess`."""
        if self.user is None:
            return {}
        return {"user": self.user, "group": self.group, "extra_groups": []}


@dataclass(frozen=True)
class Binaries:
    """What a server is made with."""

    folder: Path
    version: str  # as `postgres --version` gives it, for example 17.2
    account: Account


def find() -> Binaries:
    """The newest server on this machine; MissingError if there is none, or nobody to run it as."""
    places = [*Path("/usr/lib/postgresql").glob("*/bin"), *Path("/usr/local/pgsql").glob("bin")]
    if on_path := shutil.which("initdb"):
        places.append(Path(on_path).resolve().parent)
    found = {place: _version(place) for place in places if (place / "initdb").exists()}
    if not found:
        raise MissingError(f"no initdb on PATH or in /usr/lib/postgresql. {_PACKAGE}")
    folder = max(found, key=lambda place: [int(part) for part in found[place].split(".")])
    return Binaries(folder, found[folder], _account())


def _version(folder: Path) -> str:
    said = subprocess.run(
        [folder / "postgres", "--version"], capture_output=True, text=True, check=True
    ).stdout
    number = re.search(r"\d+(\.\d+)*", said)
    return number[0] if number else "0"


def _account() -> Account:
    if os.geteuid() != 0:
        return Account()
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise MissingError("PostgreSQL does not run as root, and there is no account to run it as")
