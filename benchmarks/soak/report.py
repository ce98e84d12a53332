"""What a soak came to: figures for programs, a table for docs/engines.md."""

from collections.abc import Iterator

from benchmarks.figures import Figure
from benchmarks.soak.steady import Steady
from tests.cluster.chaos import Outcome
from tests.crash.content import differences

PIECES = 6


def kill_figures(outcome: Outcome) -> Iterator[Figure]:
    other = differences(outcome.found, outcome.expected)
    total = sum(outcome.killed.values()) + sum(outcome.struck.values())
    yield Figure("soak.differences", float(len(other)), "rows", "0", f"{outcome.events:,} events")
    yield Figure("soak.kills", total, "kills", ">= 50", f"{outcome.starts} starts")
    yield Figure("soak.stall.longest.s", outcome.longest_stall_s, "s", "-", "of a partition")


def steady_figures(steady: Steady) -> Iterator[Figure]:
    busy, idle = steady.busy, steady.idle
    minutes = f"{busy.samples[-1].at_s / 60:.0f} minutes"
    yield Figure("soak.rate", busy.rate(), "events/s", f"{steady.asked_per_s:g}", minutes)
    yield Figure("soak.memory.growth", busy.growth_mb_an_hour(), "MB/h", "-", minutes)
    yield Figure("soak.memory.last", busy.medians_mb(PIECES)[-1], "MB", "-", "median of a sixth")
    yield Figure("soak.cpu", busy.cpu_share(), "cores", "-", minutes)
    idle_for = f"{idle.samples[-1].at_s / 60:.1f} minutes"
    yield Figure("soak.idle.cpu", idle.cpu_share(), "cores", "< 0.02", idle_for)


def kill_table(outcome: Outcome) -> str:
    """Markdown."""
    other = differences(outcome.found, outcome.expected)
    same = "none" if not other else "; ".join(other[:5])
    rows = (
        ("events sent", f"{outcome.events:,} in {outcome.seconds:.0f} s"),
        ("processes killed (SIGKILL)", _each(outcome.killed)),
        ("leaders killed", str(outcome.struck.get("leader", 0))),
        ("PostgreSQL restarted (immediate)", str(outcome.struck.get("database", 0))),
        ("workers frozen past their session", str(outcome.struck.get("zombie", 0))),
        ("workers frozen in a write", str(outcome.struck.get("writer", 0))),
        ("transactions failed by the server", str(outcome.faults)),
        ("answers to COMMIT lost", str(outcome.lost_answers)),
        ("envelopes sent again", str(outcome.envelopes_again)),
        ("events sent again to another partition", str(outcome.events_astray)),
        ("batches sent again by senders", str(outcome.sending.tries - outcome.sending.batches)),
        ("longest stall of a partition", f"{outcome.longest_stall_s:.1f} s"),
        ("worst exit code at the end", str(outcome.code)),
        ("**differences from an undisturbed embedded run**", f"**{same}**"),
    )
    return _table(("three brokers, web, control, three workers", ""), rows)


def steady_table(steady: Steady) -> str:
    """Markdown."""
    busy, idle = steady.busy, steady.idle
    medians = ", ".join(f"{mb:.0f}" for mb in busy.medians_mb(PIECES))
    rows = (
        ("asked for", f"{steady.asked_per_s:,.0f} events/s"),
        ("counted", f"{busy.rate():,.0f} events/s for {busy.samples[-1].at_s / 60:.1f} minutes"),
        ("memory, median of each sixth of the time", f"{medians} MB"),
        ("its slope without the first third", f"{busy.growth_mb_an_hour():+.1f} MB an hour"),
        ("CPU under load", f"{100 * busy.cpu_share():.0f} % of a core"),
        ("CPU with nothing to do", f"{100 * idle.cpu_share():.1f} % of a core"),
    )
    return _table(("one worker", ""), rows)


def _each(counts: dict[str, int]) -> str:
    told = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
    return f"{sum(counts.values())} ({told})"


def _table(head: tuple[str, str], rows: tuple[tuple[str, str], ...]) -> str:
    lines = [f"| {head[0]} | {head[1]} |", "| --- | --- |"]
    return "\n".join(lines + [f"| {name} | {value} |" for name, value in rows])
