"""A small stand-in that speaks MLflow's REST API: the registry of one model, on a real socket."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlsplit

WEIGHTS = b"an ONNX file"
TOKEN = "s3cret"


class Registry:
    """What the stand-in holds: versions and runs of one model, pages of two, artifacts."""

    def __init__(self):
        self.alias, self.token, self.answers = "1", TOKEN, 0
        self.set: list[str] = []  # what the alias was set to, in order
        self.is_down = False
        self.versions = {
            number: {
                "name": "mail", "version": number, "run_id": f"run{number}", "status": "READY",
                "source": f"mlflow-artifacts:/1/run{number}/artifacts/model", "tags": [],
            }
            for number in ("1", "2", "3")
        }  # fmt: skip
        self.versions["3"] |= {"source": "s3://bucket/3", "status": "READY", "run_id": ""}
        self.versions["3"]["tags"] = [{"key": "sha256", "value": "f" * 64}]

    def get(self, path, asked):
        match path.removeprefix("/api/2.0/"):
            case "mlflow/model-versions/search":
                if asked["filter"] != "name='mail'":
                    return {}
                first = int(asked.get("page_token", 0))
                names = sorted(self.versions, reverse=True)[first : first + 2]
                found = [
                    self.versions[n] | {"aliases": ["champion"] if n == self.alias else []}
                    for n in names
                ]
                more = {"next_page_token": str(first + 2)} if first == 0 else {}
                return {"model_versions": found, **more}
            case "mlflow/runs/get":
                return {
                    "run": {
                        "info": {"run_id": asked["run_id"]},
                        "data": {
                            "params": [
                                {"key": "lr", "value": "0.1"},
                                {"key": "seed", "value": "7"},
                            ],
                            "tags": [{"key": "mlflow.source.git.commit", "value": "abcdef1"}],
                        },
                        "inputs": {
                            "dataset_inputs": [{"dataset": {"name": "june", "digest": "d1"}}]
                        },
                    }
                }
            case "mlflow-artifacts/artifacts":
                return {
                    "files": [
                        {"path": "MLmodel"},
                        {"path": "model.onnx"},
                        {"path": "d", "is_dir": True},
                    ]
                }
            case _:
                return WEIGHTS if path.endswith("/model.onnx") else None


@contextmanager
def serving() -> Iterator[Registry]:
    """A registry that answers, at its `url`."""
    held = Registry()

    class Handler(BaseHTTPRequestHandler):
        def answer(self, found):
            held.answers += 1
            if self.headers["Authorization"] != f"Bearer {held.token}" or held.is_down:
                self.send_response(503 if held.is_down else 401)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            body = found if isinstance(found, bytes) else json.dumps(found).encode()
            self.send_response(404 if found is None else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self):
            parts = urlsplit(self.path)
            asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
            self.answer(held.get(parts.path, asked))

        def do_POST(self):
            told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            assert (self.path, told["name"], told["alias"]) == (
                "/api/2.0/mlflow/registered-models/alias", "mail", "champion",
            )  # fmt: skip
            if not held.is_down:
                held.alias = told["version"]
                held.set.append(told["version"])
            self.answer({})

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    held.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield held
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
