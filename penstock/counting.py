"""What `penstock events counts` shows."""

from penstock.installation import Installation
from streams import panel
from streams.db.engine import reading
from streams.models import duration_ms

COLUMNS = [
    "model", "version", "role", "arm", "answered", "errors", "paired", "disagreed", "labelled",
    "right", "wrong", "false_alarms", "misses", "p50_ms", "p99_ms",
]  # fmt: skip


def counts(here: Installation, *, model: str | None, since: str | None) -> list[panel.Row]:
    """One row a series, of all time or of the last `since` (a duration such as 6h)."""
    since_ms = 0 if since is None else here.now_ms() - duration_ms(since)
    with reading(here.engine) as connection:
        return panel.rows(connection, since_ms=since_ms, model=model)
