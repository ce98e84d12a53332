"""What a place means for traffic: who is given what, and which step's evidence it is. Pure."""

from collections.abc import Collection

from msgspec import Struct

from rollout.assignment import REQUEST, Challenger, RouteTable
from rollout.assignment import Place as Number
from rollout.courses import Course, Kind, Place, weight
from rollout.spec import Scope, Spec

NO_STEP = -1


class Traffic(Struct, frozen=True, kw_only=True):
    """Who answers.

    Args:
        champion: the version that answers what no challenger owns.
        shares: of each challenger, in the spec's order; none once one of them is the champion.
        scope: the requests that may go to a challenger; None: all.
        confirm_ms: how long a person has to confirm each of the challenger's answers; 0: nobody
            is asked.
        step: the step whose evidence it is: an approval goes on with the one before it. NO_STEP
            once it is evidence of none.
    """

    champion: str
    shares: tuple[float, ...]
    scope: Scope | None = None
    confirm_ms: int = 0
    step: int = NO_STEP

    def table(self, number: Number, spec: Spec, *, salt: str, expires_at: int) -> RouteTable:
        """The route table that says so."""
        return number.table(
            salt=salt,
            champion=self.champion,
            challengers=[
                Challenger(version=ref.version, share=share, confirm=self.confirm_ms > 0)
                for ref, share in zip(spec.challengers, self.shares, strict=False)
            ],
            unit=spec.assignment.unit if spec.assignment.sticky else REQUEST,
            scope={self.scope.tag: self.scope.values} if self.scope else None,
            expires_at=expires_at,
        )


def traffic(
    spec: Spec, course: Course, place: Place, *, dropped: Collection[str]
) -> Traffic | None:
    """Who answers while a rollout stands at `place`; None before it starts."""
    if place.kind in (Kind.DRAFT, Kind.PLANNED):
        return None
    share = weight(course, place) / 100
    if place.kind is Kind.DONE and share:
        [winner] = [ref.version for ref in spec.challengers if ref.version not in dropped]
        return Traffic(champion=winner, shares=())
    shares = tuple(0.0 if ref.version in dropped else share for ref in spec.challengers)
    if place.kind in (Kind.DONE, Kind.ROLLING_BACK, Kind.ROLLED_BACK, Kind.CANCELLED):
        return Traffic(champion=spec.champion.version, shares=shares)
    step = course[place.step]
    goes_on = step.kind is Kind.APPROVAL and place.step > 0
    return Traffic(
        champion=spec.champion.version,
        shares=shares,
        scope=step.scope,
        confirm_ms=step.confirm_ms,
        step=place.step - 1 if goes_on else place.step,
    )


def changed(
    spec: Spec, course: Course, before: Place, after: Place, *,
    dropped: Collection[str], arm: str | None,
) -> Traffic | None:  # fmt: skip
    """Who answers from `after` on, once `arm` is out, too; None where nothing changes."""
    old = traffic(spec, course, before, dropped=dropped)
    new = traffic(spec, course, after, dropped=(*dropped, arm) if arm else dropped)
    if new == old or (old is None and after.kind is Kind.CANCELLED):
        return None
    return new
