"""docs/error-rates.md: the tables of `error_rates` in the words of error_rates.md."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.contest import Contest
from benchmarks.measured import Line, Row
from benchmarks.simulation import Rate, most

_TEMPLATE = Path(__file__).with_name("error_rates.md")


def written(
    rows: Mapping[Contest, Sequence[Row]], lines: Sequence[Line], replicates: int, seed: int
) -> str:
    """The whole page."""
    bar = most(replicates)
    return _TEMPLATE.read_text("utf-8").format(
        replicates=replicates,
        seed=seed,
        most=bar,
        bar=100 * bar / replicates,
        short="\n".join(_short(rows)),
        contests="\n".join(_contest(*each) for each in rows.items()),
        stopping="\n".join(map(_line, lines)),
    )


_FAMILIES = {
    "Penstock": ("**Penstock",),
    "z-test, McNemar": ("z-test", "McNemar"),
    "AsympCS, GrowthBook": ("AsympCS", "GrowthBook, "),
    "Safe Rollouts, Flagger, Argo, Kayenta": ("GrowthBook Safe", "Flagger", "Argo", "Kayenta"),
}


def _short(rows: Mapping[Contest, Sequence[Row]]) -> Iterator[str]:
    yield f"| traffic | {' | '.join(_FAMILIES)} |"
    yield "|---|" + "---:|" * len(_FAMILIES)
    for contest, found in rows.items():
        worst = (
            max(
                (
                    rate
                    for row in found
                    if row.method.startswith(family)
                    for rate in (row.false_alarm, row.false_promotion)
                ),
                key=lambda rate: rate.share,
                default=None,
            )
            for family in _FAMILIES.values()
        )
        yield f"| {contest.title} | {' | '.join(_share(rate) for rate in worst)} |"


def _contest(contest: Contest, found: Sequence[Row]) -> str:
    head = f"### {contest.title}\n\n{contest.about}\n\n"
    return head + "\n".join([*_HEADER, *map(_row, found)]) + "\n"


_HEADER = (
    "| method | false alarm | false promotion | harm found | units | safe found | units |",
    "|---|---:|---:|---:|---:|---:|---:|",
)


def _row(row: Row) -> str:
    cells = (
        *_said(row.false_alarm, row.harm_found, row.harm_units),
        *_said(row.false_promotion, row.safe_found, row.safe_units),
    )
    order = (cells[0], cells[3], *cells[1:3], *cells[4:])
    return f"| {row.method} | {' | '.join(order)} |"


def _said(wrong: Rate, right: Rate, units: float) -> tuple[str, str, str]:
    if not wrong.hits and not right.hits:
        return "-", "-", "-"
    return (
        _rate(wrong),
        f"{100 * right.share:.0f} %",
        f"{units:,.0f}" if math.isfinite(units) else ">",
    )


def _line(line: Line) -> str:
    plan = "none" if line.rare else f"x {line.planned:g}"
    found = line.stopped
    return (
        f"| {line.design} | {line.n80:,} | {line.score_n80:,} | {plan} | {found.median:.2f} "
        f"| {found.ninety:.2f} | {100 * found.within(3):.1f} % | {100 * found.within(8):.1f} % |"
    )


def _share(rate: Rate | None) -> str:
    if rate is None:
        return ""
    told = f"{100 * rate.share:.1f} %"
    return f"**{told}**" if rate.hits > most(rate.replicates) else told


def _rate(rate: Rate) -> str:
    return f"{_share(rate)} ± {100 * rate.standard_error:.1f}"
