"""An MLflow server's model registry, over its REST API (2.0)."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import msgspec
from msgspec import Struct

from penstock.errors import ConditionError
from streams.errors import ConfigError, InputError, UnavailableError

TIMEOUT_S = 30.0
PAGE = 200
ARTIFACTS = "mlflow-artifacts:/"
_API = "api/2.0/mlflow"


class Pair(Struct, frozen=True):
    """A tag or a parameter."""

    key: str
    value: str = ""


class ModelVersion(Struct, frozen=True, kw_only=True):
    """One version of a registered model; `source` is where its artifacts are."""

    version: str
    source: str = ""
    run_id: str = ""
    status: str = "READY"
    description: str = ""
    tags: tuple[Pair, ...] = ()
    aliases: tuple[str, ...] = ()

    def tag(self, key: str) -> str:
        return next((tag.value for tag in self.tags if tag.key == key), "")


class Run(Struct, frozen=True, kw_only=True):
    """What made a version: parameters, tags, and the data sets it read, each `name@digest`."""

    params: tuple[Pair, ...] = ()
    tags: tuple[Pair, ...] = ()
    datasets: tuple[str, ...] = ()

    def tag(self, key: str) -> str:
        return next((tag.value for tag in self.tags if tag.key == key), "")


class _Dataset(Struct, frozen=True):
    name: str = ""
    digest: str = ""


class _Input(Struct, frozen=True):
    dataset: _Dataset = _Dataset()


class _Inputs(Struct, frozen=True):
    dataset_inputs: tuple[_Input, ...] = ()


class _Data(Struct, frozen=True):
    params: tuple[Pair, ...] = ()
    tags: tuple[Pair, ...] = ()


class _Run(Struct, frozen=True):
    data: _Data = _Data()
    inputs: _Inputs = _Inputs()


class Mlflow:
    """The registry at `url`. A context manager.

    Every method raises UnavailableError when the server does not answer, ConfigError when it does
    not let us in, and InputError for a model or run that it does not have.
    """

    def __init__(self, url: str, *, token: str = "") -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            self._client = httpx.Client(base_url=url, headers=headers, timeout=TIMEOUT_S)
        except (httpx.InvalidURL, ValueError) as error:
            raise ConfigError(f"{url!r} is no address of a server", why=str(error)) from error
        self.url = url

    def __enter__(self) -> "Mlflow":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def versions(self, name: str) -> list[ModelVersion]:
        """Every version of a registered model, oldest first."""
        quoted = name.replace("'", "\\'")
        found: list[ModelVersion] = []
        token = ""
        while True:
            page = {"page_token": token} if token else {}
            answer = self._get(
                "model-versions/search",
                {"filter": f"name='{quoted}'", "max_results": PAGE, **page},
            )
            found += msgspec.convert(answer.get("model_versions", []), list[ModelVersion])
            token = answer.get("next_page_token", "")
            if not token:
                break
        if not found:
            raise InputError(
                f"{self.url} has no version of a model {name!r}", field="--as",
                fix="say with --as what it is called there",
            )  # fmt: skip
        return sorted(found, key=lambda each: int(each.version))

    def run(self, run_id: str) -> Run:
        """What made a version."""
        run = msgspec.convert(self._get("runs/get", {"run_id": run_id})["run"], _Run)
        return Run(
            params=run.data.params,
            tags=run.data.tags,
            datasets=tuple(
                f"{each.dataset.name}@{each.dataset.digest}" for each in run.inputs.dataset_inputs
            ),
        )

    def files(self, source: str) -> list[str]:
        """The artifacts beside each other in `source`; none where the server does not keep them."""
        if not source.startswith(ARTIFACTS):
            return []
        path = source.removeprefix(ARTIFACTS).strip("/")
        answer = self._ask("GET", "api/2.0/mlflow-artifacts/artifacts", params={"path": path})
        listed = msgspec.json.decode(answer.content).get("files", [])
        return [str(each["path"]) for each in listed if not each.get("is_dir")]

    def download(self, source: str, name: str, folder: Path) -> Path:
        """The artifact `name` of `source` as a file in `folder`."""
        path = f"{source.removeprefix(ARTIFACTS).strip('/')}/{name}"
        target = folder / Path(name).name
        try:
            with (
                self._client.stream("GET", f"api/2.0/mlflow-artifacts/artifacts/{path}") as answer,
                target.open("wb") as file,
            ):
                self._check(answer)
                for piece in answer.iter_bytes():
                    file.write(piece)
        except httpx.HTTPError as error:
            raise self._away(error) from error
        return target

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """`alias` of the model stands for this version."""
        body = {"name": name, "alias": alias, "version": version}
        self._ask("POST", f"{_API}/registered-models/alias", json=body)

    def _get(self, what: str, params: dict[str, Any]) -> dict[str, Any]:
        answer = self._ask("GET", f"{_API}/{what}", params=params)
        try:
            found: dict[str, Any] = msgspec.json.decode(answer.content, type=dict)
        except msgspec.DecodeError as error:
            raise UnavailableError(
                f"{self.url} answers {what} with something else than JSON", why=str(error)
            ) from error
        return found

    def _ask(self, method: str, path: str, **given: Any) -> httpx.Response:
        try:
            answer = self._client.request(method, path, **given)
            self._check(answer)
        except httpx.HTTPError as error:
            raise self._away(error) from error
        return answer

    def _check(self, answer: httpx.Response) -> None:
        if answer.status_code in (401, 403):
            raise ConfigError(
                f"{self.url} does not let us in ({answer.status_code})",
                fix="set PENSTOCK_MLFLOW_TOKEN to a token that may read the registry",
            )
        if answer.status_code == 404:
            raise InputError(f"{self.url} does not have {answer.url.path}", field="--from")
        if answer.is_error:
            answer.read()
            raise UnavailableError(
                f"{self.url} answers {answer.status_code}", why=answer.text[:200]
            )

    def _away(self, error: httpx.HTTPError) -> UnavailableError:
        return UnavailableError(
            f"{self.url} does not answer", why=str(error) or type(error).__name__,
            fix="check --from, and whether the server is up",
        )  # fmt: skip


def onnx_of(names: Sequence[str]) -> Iterator[str]:
    """The ONNX files among artifacts."""
    return (name for name in names if name.endswith(".onnx"))


def require_address(given: str) -> str:
    """Raises ConditionError where nobody said which server."""
    if not given:
        raise ConditionError(
            "no MLflow server is named", fix="say --from http://..., or set PENSTOCK_MLFLOW_URL"
        )
    return given
