"""Runs to figures: each beside what the other rules made of the same requests."""

import statistics
from collections.abc import Iterator, Sequence

import numpy as np
from scipy.stats import binomtest

from benchmarks.figures import Figure
from benchmarks.policy import traffic
from benchmarks.policy.rules import RULES, Ended, Said
from benchmarks.policy.runs import Run
from benchmarks.simulation import Rate
from rollout.stages import Signal


def at_margin(runs: list[Run]) -> Iterator[Figure]:
    """Nobody may prove harm, or call safe, more often than in alpha of the runs."""
    yield _rate("policy.ever_harm", [run.harmed for run in runs], "<= 0.05")
    worst = max(traffic.GUARDRAILS, key=lambda name: sum(name in run.safe for run in runs))
    found = _rate("policy.ever_safe_at_margin", [worst in run.safe for run in runs], "<= 0.05")
    yield found._replace(against=f"{found.against}; the worst of five, {worst}")
    promoted = [run.other == Signal.ADVANCE for run in runs]
    yield _rate("policy.ever_promoted_at_margin", promoted, "<= 0.05")
    doubted = [run.other == Signal.INVALID for run in runs]
    yield _rate("policy.ever_doubted_at_margin", doubted, "-")
    yield from _others("ever_harm", runs, Said.BACK)
    yield from _others("ever_promoted_at_margin", runs, Said.PROMOTED)


def harmful(runs: list[Run]) -> Iterator[Figure]:
    """How soon harm is found; who never finds it has no hours."""
    hours = [run.hours if run.hours else np.inf for run in runs]
    against = f"errors x {traffic.HARMFUL.errors:g}, {len(runs)} runs"
    yield Figure("policy.hours_to_rollback", statistics.median(hours), "h", "-", against)
    for rule in RULES:
        ended = [run.others[rule] for run in runs]
        after = [each.after if each.said is Said.BACK else np.inf for each in ended]
        yield Figure(
            f"policy.hours_to_rollback.{_slug(rule)}", statistics.median(after), "h", "-",
            _shares(ended),
        )  # fmt: skip


def late(runs: list[Run]) -> Iterator[Figure]:
    """Harm that begins after `begins`, and is found after that."""
    begins = traffic.LATE.begins
    since = [run.hours - begins for run in runs if run.hours and run.hours > begins]
    found = _rate("policy.late_harm_found", [(run.hours or 0) > begins for run in runs], "-")
    median = f"{statistics.median(since):g} h after it began" if since else "never"
    yield found._replace(against=f"{found.against}; median {median}")
    for rule in RULES:
        ended = [run.others[rule] for run in runs]
        hits = [each.said is Said.BACK and each.after > begins for each in ended]
        yield _rate(f"policy.late_harm_found.{_slug(rule)}", hits, "-")


def equal(found: list[dict[str, Ended]]) -> Iterator[Figure]:
    """What the others do to a version that is no other than the champion."""
    for rule in RULES:
        ended = [each[rule] for each in found]
        back = [each.said is Said.BACK for each in ended]
        rate = _rate(f"policy.equal_rolled_back.{_slug(rule)}", back, "-")
        yield rate._replace(against=f"{rate.against}; {_shares(ended)}")


def labels(found: list[float]) -> Iterator[Figure]:
    against = f"every pair audited, median of {len(found)} runs, at most {max(found):.2g}"
    yield Figure("labels.of_uniform", statistics.median(found), "share", "<= 0.1", against)


def _others(name: str, runs: list[Run], ending: Said) -> Iterator[Figure]:
    for rule in RULES:
        said = [run.others[rule].said is ending for run in runs]
        yield _rate(f"policy.{name}.{_slug(rule)}", said, "-")


def _rate(name: str, said: Sequence[bool], goal: str) -> Figure:
    rate = Rate.of(said)
    ends = binomtest(rate.hits, rate.replicates).proportion_ci(0.95)
    against = f"{rate.hits} of {rate.replicates} runs, 95 % {ends.low:.3f}-{ends.high:.3f}"
    return Figure(name, rate.share, "share", goal, against)


def _shares(ended: Sequence[Ended]) -> str:
    said = [each for each, _ in ended]
    return ", ".join(f"{said.count(one) / len(said):.0%} {one}" for one in Said)


def _slug(rule: str) -> str:
    return rule.partition(" ")[0].lower()
