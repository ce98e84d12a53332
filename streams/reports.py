"""Feedback by unit, and the counts that clients keep of their own assignments. Both pure.

A report stands unless another supersedes it, whichever came first; assigned counts are merged
by maximum. So neither depends on the order of arrival.
"""

from collections.abc import Iterable, Mapping

from streams.answers import Units
from streams.arrivals import Arrivals, Ints
from streams.codes import Codes, Wanted
from streams.events import AnyEvent, Assigned, Feedback
from streams.facts import NONE, OTHER, AssignedCounts, Noted, Reported
from streams.hashing import id8, pid16
from streams.ledger import AssignedKey, Report
from streams.truths import is_report

NO_ROUTE_VERSION = -1


def report_of(arrivals: Arrivals, at: int, *, codes: Codes, units: Units) -> Report:
    """Arrival `at`, which is feedback by unit, as a row."""
    event = arrivals.events[at]
    assert isinstance(event, Feedback)
    assert event.unit_id is not None
    model_no = codes.of("model")[event.model]
    label = NONE
    if event.label is not None:
        label = codes.of("label", model_no).get(event.label, OTHER)
    return Report(
        model_no,
        id8(event.feedback_id),
        units(event.unit_id),
        codes.of("route")[event.route or "default"],
        codes.of("feedback").get(event.name, 0),
        event.value,
        label,
        int(arrivals.event_ms[at]),
        None if event.supersedes is None else id8(event.supersedes),
        int(arrivals.partition[at]),
        int(arrivals.offset[at]),
        int(arrivals.index[at]),
    )


def reports_among(arrivals: Arrivals, *, codes: Codes, units: Units) -> list[tuple[int, Report]]:
    """Feedback by unit among the arrivals, with its index."""
    return [
        (k, report_of(arrivals, k, codes=codes, units=units))
        for k in arrivals.others
        if is_report(arrivals.events[k])
    ]


def fold_reports(
    arrivals: Arrivals,
    arrived: list[tuple[int, Report]],
    stored: dict[int, tuple[dict[bytes, Report], set[bytes]]],
    watermarks: Ints,
) -> tuple[list[Report], list[Reported], list[Noted]]:
    """(rows to add, facts, repeats) of the reports that arrived.

    Args:
        stored: by model, the reports with ids that arrived or are superseded, and which of
            these ids a stored report supersedes; extended as the fold goes.
    """
    added: list[Report] = []
    facts: list[Reported] = []
    noted: list[Noted] = []
    for at, report in arrived:
        known, superseded = stored[report.model_no]
        if report.feedback_id8 in known:
            place = (report.partition, int(arrivals.appended_ms[at]))
            noted.append(Noted("duplicate", report.model_no, *place))
            continue
        added.append(report)
        known[report.feedback_id8] = report
        watermark_ms = int(watermarks[at])
        if report.feedback_id8 not in superseded and _says_something(report):
            facts.append(_fact(report, report.partition, watermark_ms, 1))
        old = report.supersedes8
        if old is not None and old not in superseded:
            superseded.add(old)
            if old in known and _says_something(known[old]):
                facts.append(_fact(known[old], report.partition, watermark_ms, -1))
    return added, facts, noted


def _says_something(report: Report) -> bool:
    """False for one that only takes back what it supersedes."""
    return report.value is not None or report.label_code != NONE


def _fact(report: Report, partition: int, watermark_ms: int, sign: int) -> Reported:
    return Reported(
        report.model_no, report.route_no, report.name_no, report.unit8, report.value,
        report.label_code, report.event_ms, partition, watermark_ms, sign,
    )  # fmt: skip


Met = tuple[int, int]  # the partition of an event, and the watermark that it met there


def assigned_among(
    arrivals: Arrivals, watermarks: Ints, *, codes: Codes
) -> list[tuple[Met, AssignedKey, tuple[int, int, int]]]:
    """(where it came, key, counts) of each assigned event."""
    model_nos, routes, arms = codes.of("model"), codes.of("route"), codes.of("arm")
    return [
        (
            (int(arrivals.partition[k]), int(watermarks[k])),
            (
                pid16(event.instance),
                event.minute,
                model_nos[event.model],
                routes[event.route],
                NO_ROUTE_VERSION if event.route_version is None else event.route_version,
                arms[event.arm],
            ),
            (event.assigned, event.answered, event.dropped),
        )
        for k in arrivals.others
        if isinstance(event := arrivals.events[k], Assigned)
    ]


def fold_assigned(
    arrived: list[tuple[Met, AssignedKey, tuple[int, int, int]]],
    stored: Mapping[AssignedKey, tuple[int, int, int]],
) -> tuple[dict[AssignedKey, tuple[int, int, int]], list[AssignedCounts]]:
    """(counts to store, facts): each count is the largest seen, a fact is what it grew by."""
    counts: dict[AssignedKey, tuple[int, int, int]] = {}
    facts = []
    for met, key, said in arrived:
        had = counts.get(key) or stored.get(key, (0, 0, 0))
        now = (max(had[0], said[0]), max(had[1], said[1]), max(had[2], said[2]))
        if now == had:
            continue
        counts[key] = now
        _, minute_ms, model_no, route_no, route_version, arm_no = key
        grown = (now[0] - had[0], now[1] - had[1], now[2] - had[2])
        facts.append(
            AssignedCounts(model_no, route_no, route_version, arm_no, minute_ms, *met, *grown)
        )
    return counts, facts


def wanted_codes(events: Iterable[AnyEvent]) -> Wanted:
    """The codes that assigned counts need."""
    wanted: Wanted = set()
    for event in events:
        if isinstance(event, Assigned):
            wanted |= {("route", 0, event.route), ("arm", 0, event.arm)}
    return wanted
