"""Certificates for a broker, right and wrong ones, made by the JDK's keytool alone."""

import shutil
import subprocess
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from deploy.kafka_local.errors import BrokerError, MissingError
from deploy.kafka_local.properties import STORE_PASSWORD

GOOD = "good"  # what a client of this cluster accepts
EXPIRED = "expired"  # was good until some days ago
FOREIGN = "foreign"  # signed by nobody whom the client knows
MISNAMED = "misnamed"  # made out to another host

# Short keys and the JVM's quick compiler: a keytool lives for less than a second.
_JVM = ("-J-Xshare:auto", "-J-XX:TieredStopAtLevel=1", "-J-XX:+UseSerialGC")
_HERE = "san=ip:127.0.0.1,dns:localhost"
_OPTIONS: Mapping[str, tuple[str, ...]] = {
    GOOD: ("-ext", _HERE, "-validity", "30", "-signer", "ca"),
    EXPIRED: ("-ext", _HERE, "-startdate", "-10d", "-validity", "5", "-signer", "ca"),
    FOREIGN: ("-ext", _HERE, "-validity", "30"),
    MISNAMED: ("-ext", "san=dns:elsewhere.invalid", "-validity", "30", "-signer", "ca"),
}
KINDS = tuple(_OPTIONS)


def make(folder: Path, kinds: Collection[str], *, java: Path) -> dict[str, Path]:
    """A keystore for each kind is in the folder, and `ca.pem`, which a client is to trust.

    What is there already is kept.
    """
    unknown = set(kinds) - set(KINDS)
    if unknown:
        raise BrokerError(f"no such certificate: {sorted(unknown)}; there are {', '.join(KINDS)}")
    folder.mkdir(parents=True, exist_ok=True)
    authority, trusted = folder / "ca.p12", folder / "ca.pem"
    keytool = _Keytool(java)
    if not trusted.exists():
        authority.unlink(missing_ok=True)
        signing = ("-ext", "bc:c", "-ext", "ku:c=keyCertSign,cRLSign", "-validity", "30")
        keytool.pair(authority, "ca", "CN=Local Kafka CA", *signing)
        keytool.run("-exportcert", authority, "-alias", "ca", "-rfc", "-file", str(trusted))
    stores = {kind: folder / f"{kind}.p12" for kind in kinds}

    def sign(kind: str) -> None:
        draft = stores[kind].with_suffix(".draft")
        shutil.copy(authority, draft)
        keytool.pair(draft, "broker", f"CN={kind}", *_OPTIONS[kind])
        # A broker shows any key of its store: the authority's own is not to be among them.
        keytool.run("-delete", draft, "-alias", "ca")
        draft.rename(stores[kind])

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(sign, (kind for kind, store in stores.items() if not store.exists())))
    return stores


class _Keytool:
    """The keytool of a Java."""

    def __init__(self, java: Path) -> None:
        found = shutil.which("keytool", path=str(java.parent)) or shutil.which("keytool")
        if not found:
            raise MissingError(f"no keytool beside {java}. Debian: openjdk-17-jre-headless has it")
        self._path = found

    def pair(self, store: Path, alias: str, name: str, *options: str) -> None:
        key = ("-keyalg", "EC", "-groupname", "secp256r1")
        self.run("-genkeypair", store, "-alias", alias, "-dname", name, *key, *options)

    def run(self, action: str, store: Path, *options: str) -> None:
        access = ("-keystore", str(store), "-storetype", "PKCS12", "-storepass", STORE_PASSWORD)
        done = subprocess.run(
            [self._path, *_JVM, action, *access, *options],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise BrokerError(f"keytool {action} failed: {done.stdout}{done.stderr}")
