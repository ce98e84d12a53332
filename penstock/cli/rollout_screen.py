"""A rollout on a terminal: where it stands, its metrics, why, and what to do next. Pure."""

from collections.abc import Iterator

from penstock import review_counts
from penstock.cli.output import utc
from penstock.rollout_details import Detail, MetricView
from rollout.courses import FINAL, Kind

MOST_WAITS = 6
MOST_SLICES = 3
_GONE = FINAL | {Kind.ROLLING_BACK}
_STEPS = {"done": "v", "here": ">", "left": "x", "ahead": "."}
_STATES = {"held": "v held", "crossed": "x crossed"}
_HEADS = ("METRIC", "CHAMPION", "CHALLENGER", "CHANGE (95 % CS)", "LIMIT", "STATE")


def screen(seen: Detail, *, now_ms: int) -> list[str]:
    """Every line. `now_ms` is domain time."""
    return [
        headline(seen),
        "  " + "   ".join(
            f"{_STEPS[each.state]} {each.step} {each.weight:g} %" for each in seen.steps
        ),
        *(f"  {line}" for line in _table(seen.metrics)),
        *_why(seen, now_ms=now_ms),
        *_next(seen),
    ]  # fmt: skip


def headline(seen: Detail) -> str:
    """One line: who, where, since when, and by which look."""
    left = [arm for arm in seen.challengers if arm not in seen.dropped]
    place = f"{seen.stage}" if seen.step in ("", seen.stage) else f"{seen.stage} at {seen.step}"
    if seen.step.startswith(seen.stage):
        place = seen.step
    parts = [
        seen.rollout,
        f"{seen.champion} -> {', '.join(left)}",
        f"{place}, {seen.weight:g} % each" if len(left) > 1 else f"{place}, {seen.weight:g} %",
        f"decision {seen.seq}",
        f"snapshot {short(seen.snapshot)}" if seen.snapshot else "no look yet",
    ]
    if seen.looked_ms is not None:
        parts.append(utc(seen.looked_ms))
    return "   ".join(parts)


def change(seen: Detail) -> str:
    """One line that differs whenever somebody decided or a verdict changed."""
    verdicts = [f"{_named(each)} {each.state}" for each in seen.metrics]
    place = seen.step if seen.step.startswith(seen.stage) else seen.stage
    told = [f"{seen.rollout}  {place or seen.stage} {seen.weight:g} %", f"decision {seen.seq}"]
    return "  ".join([*told, *verdicts, f"({seen.last})"])


def short(digest: str) -> str:
    """As much of a digest as people compare."""
    return digest.removeprefix("sha256:")[:8]


def _table(metrics: list[MetricView]) -> Iterator[str]:
    metrics = [each for each in metrics if not each.slice or each.n]
    if not metrics:
        return
    arms = {each.arm for each in metrics}
    rows = [_HEADS, *(_cells(each, named=len(arms) > 1) for each in metrics)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            text.ljust(width) if k in (0, 3, 5) else text.rjust(width)
            for k, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()


def _cells(each: MetricView, *, named: bool) -> tuple[str, ...]:
    state = _STATES.get(each.state, f"? {each.state}")
    if each.state not in _STATES:
        state += f" ({each.verdict})"
    return (
        _named(each) if named else _named(each).partition(": ")[2],
        _figure(each.champion), _figure(each.challenger), _effect(each),
        _signed(each.limit, each), state,
    )  # fmt: skip


def _named(each: MetricView) -> str:
    where = f" in {each.slice}" if each.slice else ""
    return f"{each.arm}: {each.metric}{where}"


def _effect(each: MetricView) -> str:
    if each.change is None:
        return "-"
    ends = [
        end if value is None else _signed(value, each)
        for value, end in ((each.lower, "..."), (each.upper, "..."))
    ]
    return f"{_signed(each.change, each)} ({ends[0]} to {ends[1]})"


def _signed(value: float | None, each: MetricView) -> str:
    """A difference with its sign; of a ratio, how many per cent it lies beside the champion."""
    if value is None:
        return "-"
    match each.unit:
        case "ratio":
            return f"{_rounded(100 * (value - 1)):+.3g} %"
        case "level":
            return _figure(value)
        case _:
            return f"{_rounded(value):+.3g}"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{_rounded(value):.3g}"


def _rounded(value: float) -> float:
    """Without the last bits of arithmetic, and never minus zero."""
    return round(value, 9) + 0.0


def _why(seen: Detail, *, now_ms: int) -> Iterator[str]:
    told = [f"evidence is in doubt: {doubt}" for doubt in seen.doubts]
    told += [
        f"{each.metric} of {each.arm} stands out in {each.slice}, which decides nothing"
        f" (n = {each.n:,})"
        for each in seen.slices[:MOST_SLICES]
    ]
    told += review_counts.words(seen.reviews)
    if seen.stage is Kind.ROLLING_BACK and seen.services:
        told.append(f"{seen.confirmed} of {seen.services} services have the champion's table")
    for wait in seen.waits:
        left = f", {(wait.until_ms - now_ms) / 3_600_000:.1f} h more" if wait.until_ms else ""
        told.append(f"waits: {wait.reason}{left}")
    for k, text in enumerate(told[:MOST_WAITS]):
        yield f"  {'why:' if k == 0 else '    '}  {text}"
    if len(told) > MOST_WAITS:
        yield f"        and {len(told) - MOST_WAITS} more: penstock rollout explain {seen.rollout}"
    yield f"  last:  {seen.last}"


def _next(seen: Detail) -> Iterator[str]:
    name = seen.rollout
    if seen.waiting_revision is not None:
        yield f"  next:  penstock rollout approve {name} --revision {seen.waiting_revision}"
    elif seen.stage in (Kind.DRAFT, Kind.PLANNED):
        yield f'  next:  penstock rollout start {name} --reason "..."'
    elif seen.stage not in _GONE and any(each.state == "crossed" for each in seen.metrics):
        yield f'  next:  penstock rollout rollback {name} --reason "..."'
    elif seen.stage is Kind.PAUSED:
        yield f'  next:  penstock rollout resume {name} --reason "..."'
    elif seen.stage is Kind.APPROVAL:
        yield f'  next:  penstock rollout approve {name} --reason "..."'
    elif any(each.open for each in seen.reviews):
        yield f"  next:  penstock review list --rollout {name}"
    elif seen.waits:
        yield f"  next:  penstock rollout explain {name}, or wait"
