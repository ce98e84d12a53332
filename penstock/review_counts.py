"""What became of the reviews of a rollout, challenger by challenger. Pure."""

from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct

from rollout.reviews import State


class Reviewed(Struct, frozen=True, kw_only=True):
    """How many answers of a challenger people were asked about, by what became of them.

    `refused_share` is of those that somebody confirmed or refused; None before the first. It is
    evidence of its own kind: how often people did not let the challenger act.
    """

    arm: str
    open: int
    confirmed: int
    refused: int
    timed_out: int
    withdrawn: int
    refused_share: float | None


def reviewed(arms: Iterable[str], counts: Mapping[tuple[str, State], int]) -> list[Reviewed]:
    """Of each challenger that people were asked about; `counts` is by version and state."""
    found = []
    for arm in arms:
        by = {state: counts.get((arm, state), 0) for state in State}
        answered = by[State.CONFIRMED] + by[State.REFUSED]
        if any(by.values()):
            found.append(
                Reviewed(
                    arm=arm, open=by[State.OPEN], confirmed=by[State.CONFIRMED],
                    refused=by[State.REFUSED], timed_out=by[State.TIMED_OUT],
                    withdrawn=by[State.WITHDRAWN],
                    refused_share=by[State.REFUSED] / answered if answered else None,
                )
            )  # fmt: skip
    return found


def words(found: Iterable[Reviewed]) -> Iterator[str]:
    """A line for each challenger."""
    for each in found:
        told = [f"{each.confirmed:,} confirmed", f"{each.refused:,} refused"]
        if each.refused_share is not None:
            told[1] += f" ({100 * each.refused_share:.3g} %)"
        told += [f"{each.timed_out:,} timed out"] if each.timed_out else []
        told += [f"{each.withdrawn:,} withdrawn"] if each.withdrawn else []
        told += [f"{each.open:,} open"] if each.open else []
        yield f"reviews of {each.arm}: {', '.join(told)}"
