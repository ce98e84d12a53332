"""Java, and the jars that Maven fetches once."""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from deploy.kafka_local.errors import BrokerError, MissingError

HERE = Path(__file__).parent
_POM = HERE / "pom.xml"
_JAVA_NEEDED = 17
_FETCH_S = 600.0
_COPY = ("-B", "-q", "-f", str(_POM), "dependency:copy-dependencies", "-DincludeScope=runtime")
_JAVA_PACKAGE = "Debian 12: apt-get install openjdk-17-jre-headless; later: default-jre-headless"


@dataclass(frozen=True)
class Kit:
    """What runs a broker."""

    java: Path
    jars: Path

    def java_command(self, *options: str) -> list[str]:
        """The command that has these jars; the class to run is to be appended."""
        return [str(self.java), *options, "-cp", f"{self.jars}/*"]


def kit(cache: Path | None = None) -> Kit:
    """Java and the jars are there, fetched to `cache` if they were not.

    Raises:
        MissingError: there is no Java 17, or no Maven to fetch with.
        BrokerError: Maven could not fetch.
    """
    java = find_java()
    named = os.environ.get("KAFKA_LOCAL_CACHE")
    cache = (cache or Path(named or HERE.parents[1] / ".kafka")).absolute()
    jars = cache / f"jars-{hashlib.sha256(_POM.read_bytes()).hexdigest()[:12]}"
    if not jars.exists():
        _fetch(jars)
    return Kit(java, jars)


def find_java() -> Path:
    """The Java of JAVA_HOME or PATH; MissingError if there is none or it is too old."""
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=f"{home}/bin" if home else None)
    if not found:
        raise MissingError(f"no java (JAVA_HOME, PATH): Kafka needs Java 17. {_JAVA_PACKAGE}")
    said = subprocess.run([found, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', said)
    if not version or int(version[1]) < _JAVA_NEEDED:
        raise MissingError(
            f"{found} is not Java 17 or newer ({said.splitlines()[:1]}). {_JAVA_PACKAGE}"
        )
    return Path(found)


def _fetch(jars: Path) -> None:
    """The jars are in the folder, whole, however many asked for them at once."""
    maven = shutil.which("mvn")
    if not maven:
        raise MissingError("no mvn on PATH to fetch Kafka with. Debian: apt-get install maven")
    jars.parent.mkdir(parents=True, exist_ok=True)
    with (jars.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if jars.exists():
            return
        with tempfile.TemporaryDirectory(dir=jars.parent) as partial:
            done = subprocess.run(
                [maven, *_COPY, f"-DoutputDirectory={partial}/jars"],
                capture_output=True,
                text=True,
                timeout=_FETCH_S,
                check=False,
            )
            if done.returncode:
                raise BrokerError(f"Maven could not fetch Kafka:\n{done.stdout}{done.stderr}")
            (Path(partial) / "jars").rename(jars)
