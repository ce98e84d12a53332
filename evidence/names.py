"""Names of forms and outcomes, for who counts and computes nothing: no SciPy is loaded for them."""

from enum import IntEnum, StrEnum


class Form(StrEnum):
    """How a guardrail's margin is written, and what kind of metric it is on."""

    DIFFERENCE = "difference"
    EVENT_SHARE = "event share"
    RATIO = "ratio"
    QUANTILE = "quantile"
    CEILING = "ceiling"
    PAIRED_DIFFERENCE = "paired difference"
    PAIRED_RATIO = "paired ratio"
    ASYMPTOTIC = "asymptotic"
    HEURISTIC = "heuristic"


class Pair(IntEnum):
    """What became of a pair: the last axis of its counts."""

    CHALLENGER_WRONG = 0  # audited or labelled: only the challenger was wrong
    CHAMPION_WRONG = 1  # only the champion was wrong
    BOTH_WRONG = 2
    EQUAL = 3  # both right, or answers agree and nobody looked, or not sampled
    UNRESOLVED = 4  # sampled, and undecided when its time was up
