"""The house plan of `docs/architecture.md`, held against the code's own imports."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "streams": set(),
    "evidence": set(),
    "rollout": {"streams", "evidence"},
    "monitors": {"streams", "evidence"},
    "audit": {"streams", "evidence"},
    "penstock": {"streams", "evidence", "rollout", "monitors", "audit"},
}
SQL = {"sqlalchemy", "sqlite3", "psycopg", "alembic"}
KNOW_SQL = {
    # One small table each.
    "streams/installation.py", "streams/keys.py", "streams/registry.py", "streams/versions.py",
    "streams/ledger.py", "streams/positions.py", "streams/counters.py", "streams/subscriptions.py",
    "streams/deadletters.py", "streams/outbox.py", "streams/plans.py", "streams/codes.py",
    "streams/closer.py", "streams/expiry.py", "streams/presence.py", "streams/repeats.py",
    "streams/webhooks.py", "streams/deliveries.py", "streams/aliases.py",
    "rollout/routes.py",
    "rollout/kept.py", "rollout/readers.py", "rollout/measurements.py", "rollout/units.py",
    "rollout/reviews.py",
}  # fmt: skip
PASS_CONNECTIONS = {
    # They open transactions and hand the connection on; they hold no statement.
    "rollout/shadow_pass.py",
    "streams/batch.py", "streams/collector.py", "streams/holding.py", "streams/panel.py",
    "streams/pipe.py", "streams/pipeline.py", "rollout/collector.py", "rollout/opening.py",
    "rollout/looks.py", "rollout/recorded.py",
    "streams/relay.py", "rollout/acting.py", "rollout/consequences.py", "rollout/editing.py",
    "rollout/permits.py", "rollout/controller.py", "rollout/watching.py", "rollout/heads.py",
    "rollout/enrolment.py", "rollout/reviewing.py",
    "rollout/closer.py",
}  # fmt: skip


def files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """(module, whether it stands at the top of the file) for each import."""
    tree = ast.parse(path.read_text())
    top = set(map(id, tree.body))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, id(node) in top
        elif isinstance(node, ast.ImportFrom) and node.module:
            own = (
                path.parts[-2] + "." if node.level else ""
            )  # the client imports its own relatively
            yield own + node.module, id(node) in top


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_point_up_the_list_only(package):
    allowed = MAY_IMPORT[package] | {package}

    wrong = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in files(package)
        for module, _ in imports(path)
        if module.split(".")[0] in MAY_IMPORT and module.split(".")[0] not in allowed
    ]

    assert wrong == []


def test_evidence_needs_nothing_but_numpy_and_scipy():
    allowed = {"evidence", "numpy", "scipy"} | set(sys.stdlib_module_names)

    wrong = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in files("evidence")
        for module, _ in imports(path)
        if module.split(".")[0] not in allowed
    ]

    assert wrong == []


def test_the_client_needs_nothing_of_the_server():
    allowed = {"penstock_client", "msgspec", "httpx", "kafka"} | set(sys.stdlib_module_names)

    wrong = [
        f"{path.name} imports {module}"
        for path in files("clients/python/penstock_client")
        for module, _ in imports(path)
        if module.split(".")[0] not in allowed
    ]

    assert wrong == []


def graph() -> dict[str, set[str]]:
    """Module to the modules of ours it imports at its top."""
    names = {}
    for package in MAY_IMPORT:
        for path in files(package):
            parts = path.relative_to(ROOT).with_suffix("").parts
            names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    edges: dict[str, set[str]] = {}
    for name, path in names.items():
        tree = ast.parse(path.read_text())
        edges[name] = set()
        for node in tree.body:
            if isinstance(node, ast.Import):
                edges[name] |= {a.name for a in node.names if a.name in names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                inner = {f"{node.module}.{a.name}" for a in node.names}
                found = {i for i in inner if i in names}
                edges[name] |= found
                if len(found) < len(inner) and node.module in names:
                    edges[name].add(node.module)
    return edges


def test_no_module_imports_itself_by_way_of_others():
    edges = graph()
    done: set[str] = set()

    def walk(name: str, path: list[str]) -> None:
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        if name not in done:
            for other in sorted(edges[name]):
                walk(other, [*path, name])
            done.add(name)

    for name in sorted(edges):
        walk(name, [])


def test_only_stores_know_sql():
    knows = {
        str(path.relative_to(ROOT))
        for package in ("streams", "rollout", "monitors", "audit")
        for path in files(package)
        for module, _ in imports(path)
        if module.split(".")[0] in SQL
    }

    free = {p for p in knows if "/db/" in p or p.endswith(("/tables.py", "/store.py"))}
    free |= {p for p in knows if p.startswith("streams/logs/embedded")}

    assert knows - free - PASS_CONNECTIONS == KNOW_SQL


def test_imports_inside_functions_are_for_commands_and_optional_extras_only():
    optional = {"psycopg", "pyarrow", "kafka", "faust", "penstock_client", "sklearn", "skl2onnx"}
    optional |= {"onnxruntime", "uvloop"}
    # A role of the supervisor imports only what it runs.
    commands = ("penstock/cli/", "penstock/child.py", "penstock/wiring.py")
    # It also asks where its database stands, and needs no Alembic for that.
    commands += ("penstock/migrations/",)

    inner = [
        f"{path.relative_to(ROOT)} imports {module}"
        for package in MAY_IMPORT
        for path in files(package)
        if not str(path.relative_to(ROOT)).startswith(commands)
        for module, at_top in imports(path)
        if not at_top
        and module.split(".")[0] not in optional
        # These import their extra at the top.
        and not module.startswith(("streams.logs.kafka", "streams.logs.faust"))
    ]

    assert inner == []


def test_nothing_but_the_rim_reads_the_environment():
    readers = {
        str(path.relative_to(ROOT))
        for package in MAY_IMPORT
        for path in files(package)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"}
    }

    assert all(reader.startswith("penstock/") for reader in readers), readers
