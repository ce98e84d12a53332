"""Who may be compared in an epoch of a ramp, and with which assignment probability.

Under sticky assignment most units of a later epoch carry their past with them: they were champion
or challenger before. Only units that no challenger ever held are randomised anew.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from evidence.domain import InputError


@dataclass(frozen=True)
class Enrolment:
    """Shares of all units that an epoch newly compares, and the probability among them.

    `pi` is `None` when the epoch holds no between-arm evidence (its share did not grow).
    """

    challenger: float
    champion: float

    @property
    def pi(self) -> float | None:
        if not (self.challenger > 0 and self.champion > 0):
            return None
        return self.challenger / (self.challenger + self.champion)


def enrolment(before: Sequence[Sequence[float]], now: Sequence[float], k: int) -> Enrolment:
    """What challenger `k` newly wins in this epoch.

        W_j = the largest share ever given to j,   D_k = W_k(now) - W_k(before)
        pi_k = D_k / (D_k + 1 - sum_j W_j(now))

    Eligible are units outside every W_j(before); compared are those newly in lane k with those
    still with the champion. Taking pi from the current share instead calls a version at its margin
    safe in every run of a ramp 25 -> 5 -> 25 %.

    Args:
        before: for each earlier epoch the share of every challenger, shape (epochs, challengers).
        now: this epoch's shares, shape (challengers,).
        k: which challenger.

    Raises:
        InputError: k out of range, epochs of different length, a share outside [0, 1], or shares
            that add to more than 1.

    >>> enrolment([[0.05], [0.25]], [0.50], 0).pi
    0.3333333333333333
    >>> enrolment([[0.25]], [0.05], 0).pi is None
    True
    """
    if not 0 <= k < len(now):
        raise InputError("k", k, f"must name one of {len(now)} challengers")
    for shares in (*before, now):
        if len(shares) != len(now):
            raise InputError("before", tuple(shares), f"must give {len(now)} shares an epoch")
        if min(shares) < 0 or sum(shares) > 1 + 1e-12:
            raise InputError("shares", tuple(shares), "must be at least 0 and add to at most 1")
    held = [max((shares[j] for shares in before), default=0.0) for j in range(len(now))]
    widest = [max(old, new) for old, new in zip(held, now, strict=True)]
    return Enrolment(challenger=widest[k] - held[k], champion=max(0.0, 1 - sum(widest)))
