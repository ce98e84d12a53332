"""The people of the sorting floor: who begins a rollout, and who signs its approval.

They do what `penstock rollout create`, `start` and `approve` do, and nothing else: whether a
challenger advances or goes back is decided by Penstock alone.
"""

import re
from collections.abc import Sequence
from importlib.resources import files

from penstock import rollouts
from penstock.deciding import Action, Wish
from penstock.demo import script, wording
from penstock.demo.folder import Folder, Story
from penstock.installation import Installation, read_clock
from penstock.rollouts import Store
from rollout import store
from rollout.courses import FINAL, Kind
from rollout.decisions import Person
from rollout.stages import Signal
from rollout.store import Standing
from streams.db.engine import reading
from streams.models import MINUTE_MS

SEEN_FIRST_MS = 40 * MINUTE_MS
"""The champion answers alone for so long: an epoch freezes what its traffic showed."""
THINKS_MS = 20 * MINUTE_MS
"""Before somebody signs."""
AUTHOR = Person(name="jonas", reason="it may replace v1", via="demo")
SIGNER = Person(
    name="ines", reason="the canary misread less, and nothing else moved", via="demo",
    groups=("shift-lead",),
)  # fmt: skip
_DURATION = re.compile(r"(?<=[ :])(\d+[mhd])(?=[,}])")


class Operator:
    """Does what is due for people; holds nothing, so that a story that was killed goes on."""

    def __init__(self, here: Installation, folder: Folder, story: Story) -> None:
        self._here, self._folder, self._story = here, folder, story

    def standings(self) -> list[Standing]:
        """The rollouts that there are, the oldest first."""
        with reading(self._here.engine) as connection:
            known = {each.rollout for each in store.summaries(connection)}
            names = [rollout_of(version) for version in self._story.challengers]
            return [store.standing(connection, name) for name in names if name in known]

    def step(self, standings: list[Standing], *, first_ms: int | None) -> None:
        """What is due now is done. `first_ms` is when the service answered first, domain time."""
        clock = read_clock(self._here.settings)
        here, now_ms = Store(self._here.engine, clock), clock.domain_ms()
        if told(standings, self._story) or first_ms is None:
            return
        if not standings or standings[-1].state.place.kind in FINAL:
            if now_ms >= first_ms + self._story.span_ms(SEEN_FIRST_MS):
                self._create(here, self._story.challengers[len(standings)])
            return
        last = standings[-1]
        state = last.state
        if state.place.kind is Kind.DRAFT:
            self._decide(here, last, Action.START, AUTHOR)
        thought = now_ms >= state.since_ms + self._story.span_ms(THINKS_MS)
        if state.place.kind is Kind.APPROVAL and not state.signed and thought:
            self._decide(here, last, Action.APPROVE, SIGNER)

    def _create(self, here: Store, version: str) -> None:
        """The challenger's file is with the service, and its spec is a draft."""
        self._folder.deploy(version)
        path = self._folder.rollouts / f"{rollout_of(version)}.yaml"
        path.write_text(spec(version, self._story))
        rollouts.create(here, path.read_bytes(), name=path.name, who=AUTHOR)

    def _decide(self, here: Store, standing: Standing, action: Action, who: Person) -> None:
        wish = Wish(rollout=standing.name, action=action, who=who, seen_seq=standing.state.seq)
        rollouts.decide(here, wish)


def rollout_of(version: str) -> str:
    """What the rollout of a challenger is called."""
    return f"{script.MODEL}-{version}"


def told(standings: Sequence[Standing], story: Story) -> bool:
    """Whether nobody does anything more: one was promoted, all were tried, or one is in doubt."""
    if not standings:
        return False
    kind, is_last = standings[-1].state.place.kind, len(standings) == len(story.challengers)
    return kind in (Kind.DONE, Kind.PAUSED) or (kind in FINAL and is_last)


def astray(standings: Sequence[Standing], story: Story) -> list[str]:
    """What became of a rollout that the evidence would hardly ever make of it.

    A version with the fault goes back from a canary because of proven harm; one without it is
    promoted.
    """
    found = []
    for standing in standings:
        is_faulty = standing.name == rollout_of("v3") and story.fault != "none"
        kind = standing.state.place.kind
        harm = [each for each in standing.decisions if each.signal is Signal.HARM]
        from_canary = any(each.before.kind is Kind.CANARY for each in harm)
        if not (from_canary if is_faulty else kind is Kind.DONE):
            found.append(f"{standing.name} is {kind}: {wording.last(standing)}")
    return found


def spec(version: str, story: Story) -> str:
    """The spec of a challenger's rollout; where the clock cannot hurry, its spans are shorter."""
    text = files("penstock.demo").joinpath("rollout.yaml").read_text(encoding="utf-8")
    text = text.replace("CHALLENGER", version)
    return _DURATION.sub(lambda found: story.span(found[1]), text)
