"""How many examples a law is held against: all that its test names, or a share of them."""

import os

from hypothesis import HealthCheck, Phase, settings

IS_WIDE = os.environ.get("HYPOTHESIS_PROFILE") in {"wide", "fuzz"}
QUICK = 0.4
"""Of the examples: `make test` is to end within six minutes on two cores."""


def examples(count: int) -> int:
    """`count` where time is given for it, its share of them else."""
    return count if IS_WIDE else max(1, int(count * QUICK))


def laws(count: int) -> settings:
    """The same examples in every run; shrunk when one fails."""
    return settings(
        max_examples=examples(count),
        derandomize=True,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
