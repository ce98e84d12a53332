"""What a database holds, in a form that two runs over the same events must share to the event.

Numbers given by the code table are resolved to their names. Left out is only what depends on the
run and not on the events: places in the log, wall-clock times, fences, and counts of repeats.
"""

from collections import Counter
from typing import Any

from sqlalchemy import Connection, Engine, Table, select

from streams.db.engine import reading
from streams.db.metadata import metadata
from streams.tables import code, dead_letter, position
from tests.streams import spine

Content = dict[str, Counter[Any]]

PLACE = frozenset(("log_offset", "idx"))
ANY_PLACE = PLACE | {"partition"}  # a label may wait anywhere until its request has come
ROWS = {
    "answer": PLACE, "answer_blob": frozenset[str](), "confirmation": PLACE, "label": ANY_PLACE,
    "label_blob": frozenset[str](), "join_row": frozenset[str](), "report": PLACE,
    "assigned": frozenset[str](), "version": frozenset(("created_ms",)),
    "orphan": ANY_PLACE | {"appended_ms", "seen_ms", "hops"},
    "unit_partial": frozenset[str](), "unit_enrolled": frozenset[str](),
    "unit_paired": frozenset[str](), "unit_bad": frozenset[str](),
    "unit_cursor": frozenset[str](), "review": frozenset[str](),
}  # fmt: skip
"""Tables that are compared row by row, and their columns that are not."""

OTHERWISE = {"counter", "counter_total", "dead_letter", "code", "position", "outbox", "gap"}
"""Tables that `content` looks at in a way of their own."""

OF_THE_RUN = {
    "installation", "plan", "file", "api_key", "inbox", "lease", "process", "route_table",
    "version_report", "rollout", "rollout_live", "rollout_revision", "decision",
    "rollout_look", "route_reader", "kept_answer", "measured", "webhook",
    "webhook_delivery", "mlflow_alias",
}  # fmt: skip
"""Tables that no event writes to."""

SCOPED = {"version_no": "version"}
PLAIN = {"model_no": "model", "route_no": "route", "arm_no": "arm", "source_no": "source",
         "name_no": "feedback"}  # fmt: skip
HOUR_MS = 3_600_000
REPEATS = ("intake", "rejected")  # families of counters that grow when an event is sent again


def content(engine: Engine) -> Content:
    """Rows, labels, panes, totals, dead letters and hours of watermarks, each as often as it is."""
    unknown = metadata.tables.keys() - ROWS.keys() - OTHERWISE - OF_THE_RUN
    assert not unknown, f"say in {__name__} how {unknown} are compared"
    counted = spine.content(engine)
    with reading(engine) as connection:
        names = {
            (row.kind, row.scope, row.no): row.name for row in connection.execute(select(code))
        }
        found = {
            name: _rows(connection, metadata.tables[name], left_out, names)
            for name, left_out in ROWS.items()
        }
        letters = connection.execute(select(dead_letter)).mappings().all()
        positions = connection.execute(select(position)).mappings().all()
        for name in ("outbox", "gap"):
            found[name] = _rows(connection, metadata.tables[name], frozenset(), names)
    cells = {key: value for key, value in counted["cells"].items() if key[0][0] not in REPEATS}
    return found | {
        "names": Counter(
            (kind, names["model", 0, scope] if scope else None, name)
            for (kind, scope, _), name in names.items()
        ),
        "panes": Counter((key, tuple(cells[key].items())) for key in cells),
        "frozen": Counter(counted["frozen"]),
        "totals": Counter((k, tuple(c.items()), n) for k, (c, n) in counted["totals"].items()),
        "dead letters": Counter({(row["code"], row["field"], row["raw"]) for row in letters}),
        # A label that had to be sent on moves two watermarks, one that waited for its request one.
        "hours": Counter(
            (row["partition"], row["watermark_ms"] // HOUR_MS)
            for row in positions
            if row["consumer"] == "intake"  # other rooms read no events
        ),
    }


def differences(found: Content, expected: Content) -> list[str]:
    """What one holds and the other lacks, a few of each; empty when they are the same."""
    said = []
    for name in sorted(found.keys() | expected.keys()):
        more, less = found[name] - expected[name], expected[name] - found[name]
        if more or less:
            said.append(f"{name}: {more.total()} too many, {less.total()} missing")
            said += [f"  + {row}" for row in list(more)[:3]]
            said += [f"  - {row}" for row in list(less)[:3]]
    return said


def _rows(
    connection: Connection, table: Table, left_out: frozenset[str],
    names: dict[tuple[str, int, int], str],
) -> Counter[Any]:  # fmt: skip
    columns = [column.name for column in table.columns if column.name not in left_out]
    model = columns.index("model_no") if "model_no" in columns else -1
    rows: Counter[Any] = Counter()
    for row in connection.execute(select(*(table.c[name] for name in columns))):
        rows[
            tuple(
                _named(c, value, row[model], names) for c, value in zip(columns, row, strict=True)
            )
        ] += 1
    return rows


def _named(column: str, value: Any, model_no: int, names: dict[tuple[str, int, int], str]) -> Any:
    if column in PLAIN:
        return names.get((PLAIN[column], 0, value)) if value else None
    if column in SCOPED:
        return names[SCOPED[column], model_no, value]
    if column == "label_code" and value > 0:
        return names["label", model_no, value]
    return value
