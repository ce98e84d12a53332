"""What a look costs: one e-value, one interval, and a whole verdict.

    python -m benchmarks.evidence [--json]

Each figure stands beside what numpy alone needs for the same multiplication and logarithms.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from benchmarks.figures import Figure, tell
from evidence.bets import LOG_WEIGHTS, Statistic
from evidence.buckets import Levels
from evidence.decision import Alphas, Question, judge, split_alpha
from evidence.domain import Floats, Ints
from evidence.effects import Arms, Difference, Ratio
from evidence.paired import PairedDifference, Pairs
from evidence.results import Side
from evidence.risks import EventShare
from evidence.sequences import Epoch, confidence, log_e

SLICES = 20
EPOCHS = 4


def seconds(call: Callable[[], object], *, least_s: float = 0.3) -> float:
    """The median time of one call, over at least `least_s` seconds and 5 calls."""
    times: list[float] = []
    call()
    while len(times) < 5 or sum(times) < least_s:
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return float(np.median(times))


def raw(cells: int) -> float:
    """Seconds that numpy needs for the arithmetic alone: one logarithm a cell and bettor."""
    factors: Floats = np.full((cells, len(LOG_WEIGHTS)), 1.01)
    counts: Floats = np.ones(cells)
    return seconds(lambda: np.log(np.exp(counts @ np.log(factors) + LOG_WEIGHTS).sum()))


def rate(pi: float = 0.1) -> Difference:
    return Difference(Arms(pi=pi, centre=0.05, sd=0.22))


def money(make: Callable[[Arms], Statistic]) -> Statistic:
    levels = tuple(Levels(least=1.0, cap=500.0, count=64).values.tolist())
    return make(Arms(levels=levels, pi=0.1, centre=20.0, sd=60.0))


def five_metrics() -> list[tuple[Question, Statistic]]:
    """What a rollout guards: errors, latency, misses, revenue, audited pairs."""
    return [
        (Question(limit=1.5, equal=1.0), EventShare(pi=0.1)),
        (Question(limit=0.0), rate()),
        (Question(limit=0.01), rate()),
        (Question(limit=0.98, harm=Side.BELOW, equal=1.0), money(Ratio)),
        (Question(limit=0.01), PairedDifference(Pairs(q=(1.0, 0.1), sigma0=0.3))),
    ]


def drawn(statistic: Statistic, rng: np.random.Generator) -> Ints:
    """Counts such as an epoch leaves: a tenth of the units with the challenger."""
    usual = np.ones(statistic.shape)
    if len(statistic.shape) == 2 and statistic.shape[0] == 2:
        usual[0] *= 9
        usual[:, 0] *= 15
    return rng.multinomial(40_000, usual.ravel() / usual.sum()).reshape(statistic.shape)


def verdicts(metrics: Sequence[tuple[Question, Statistic]], alphas: Alphas) -> Callable[[], object]:
    """Five metrics on twenty slices, each over four epochs, with both bounds."""
    rng = np.random.default_rng(1)
    data = [
        (question, [Epoch(statistic, drawn(statistic, rng)) for _ in range(EPOCHS)])
        for question, statistic in metrics
        for _ in range(SLICES)
    ]
    return lambda: [judge(question, alphas, [epochs]) for question, epochs in data]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", action="store_true")
    as_json = parser.parse_args().json
    rng = np.random.default_rng(0)
    few = [Epoch(rate(), drawn(rate(), rng))]
    many = {make: [Epoch(money(make), drawn(money(make), rng))] for make in (Difference, Ratio)}
    arithmetic = {cells: raw(cells) for cells in (4, 128)}

    def figure(name: str, value: float, unit: str, goal: str, against: str) -> None:
        tell(Figure(name, value, unit, goal, against), as_json=as_json)

    figure(
        "evalue.4cells.us",
        1e6 * seconds(lambda: log_e(few, 0.0, Side.ABOVE)),
        "us",
        "<= 100",
        f"numpy alone {1e6 * arithmetic[4]:.0f} us",
    )
    figure(
        "interval.4cells.ms",
        1e3 * seconds(lambda: confidence(few, alpha=0.05)),
        "ms",
        "<= 5",
        f"one e-value's arithmetic {1e6 * arithmetic[4]:.0f} us",
    )
    for name, kind in (
        ("interval.64buckets.ms", Difference),
        ("interval.64buckets.ratio.ms", Ratio),
    ):
        figure(
            name,
            1e3 * seconds(partial(confidence, many[kind], alpha=0.05)),
            "ms",
            "<= 30",
            f"one e-value's arithmetic {1e6 * arithmetic[128]:.0f} us",
        )
    figure(
        "verdict.5x20.s",
        seconds(verdicts(five_metrics(), split_alpha(guardrails=5, protected=2)), least_s=2.0),
        "s",
        "<= 0.5",
        f"100 verdicts of {EPOCHS} epochs",
    )


if __name__ == "__main__":
    main()
