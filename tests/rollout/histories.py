"""Decisions that a rollout may come to: random walks through the table of stages."""

from hypothesis import strategies as st

from evidence.decision import Verdict
from rollout import courses, stages
from rollout.decisions import Decision, Evidence, Judged, Person, Published, Time
from rollout.stages import Signal
from rollout.states import State, folded
from tests.rollout.test_stages import COURSE

BEGUN = State(rollout="fraud-42", revision="sha256:" + "1" * 64)
NUMBERS = st.none() | st.floats(allow_nan=False, allow_infinity=False)
JUDGED = st.builds(
    Judged, arm=st.sampled_from(["42", "43"]), metric=st.text(min_size=1, max_size=8),
    verdict=st.sampled_from(Verdict), n=st.integers(0, 2**40), estimate=NUMBERS, lower=NUMBERS,
    log_harm=NUMBERS, reasons=st.lists(st.text(max_size=20), max_size=2).map(tuple),
)  # fmt: skip
LETTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
CAUSES = st.one_of(
    st.builds(Person, name=st.text(LETTERS, min_size=1, max_size=9), reason=st.text(LETTERS)),
    st.builds(
        Evidence, verdicts=st.lists(JUDGED, max_size=3).map(tuple), reasons=st.just(("told",))
    ),
    st.builds(Time, due_ms=st.integers(0, 2**45), reasons=st.just(("over",))),
)


@st.composite
def histories(draw, *, longest: int = 12) -> list[Decision]:
    """Decisions of one rollout from its first on, until it ends or they are enough."""
    state, found, at_ms = BEGUN, [], 1_795_000_000_000
    for _ in range(draw(st.integers(0, longest))):
        signals = stages.accepted(state.place)
        if not signals:
            break
        signal = draw(st.sampled_from(signals))
        after = stages.advance(COURSE, state.place, signal)
        at_ms += draw(st.integers(0, 10**9))
        share = courses.weight(COURSE, after) / 100
        published = None
        if share != courses.weight(COURSE, state.place) / 100:
            published = Published(route_version=len(found) + 1, epoch=1, shares=(share,))
        found.append(
            state.decided(
                signal, after, draw(CAUSES), at_ms=at_ms, published=published,
                arm="43" if signal is Signal.DROP else None,
            )
        )  # fmt: skip
        state = folded(state, found[-1:])
    return found
