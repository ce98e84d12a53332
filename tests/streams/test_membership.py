"""When what a member believes and what its coordinator says count as different."""

from itertools import count

import pytest

from streams.errors import UnavailableError
from streams.logs import membership
from streams.logs.membership import ASK_S, BELATED_S, Membership

OURS, NOTHING = frozenset({1, 4}), frozenset[int]()
ROUNDS = int(BELATED_S / ASK_S) + 2


@pytest.fixture
def later(monkeypatch):
    """Each call lets one round of asking pass."""
    clock = count()
    now = [0.0]
    monkeypatch.setattr(membership.time, "monotonic", lambda: now[0])

    def pass_():
        now[0] = next(clock) * ASK_S + ASK_S

    return pass_


def checked(later, answers, beliefs):
    """The rounds in which the member was found out of touch."""
    told = iter(answers)
    found = []
    member = Membership(lambda: next(told))
    for number, believed in enumerate(beliefs):
        later()
        try:
            member.check(believed)
        except UnavailableError:
            found.append(number)
            member.joins()
    return found


def test_a_member_that_does_not_take_up_its_partitions_is_out_of_touch(later):
    assert checked(later, [OURS] * ROUNDS, [NOTHING] * ROUNDS) == [BELATED_S // ASK_S]


def test_a_member_that_reads_what_it_does_not_have_is_out_of_touch(later):
    assert checked(later, [NOTHING] * ROUNDS, [OURS] * ROUNDS) == [BELATED_S // ASK_S]


def test_one_round_of_agreement_or_of_a_group_that_decides_begins_the_time_anew(later):
    agreeing = [OURS, OURS, OURS, NOTHING] * 5
    deciding = [OURS, OURS, None] * 5

    assert checked(later, agreeing, [NOTHING] * 20) == []
    assert checked(later, deciding, [NOTHING] * 15) == []


def test_a_coordinator_that_does_not_answer_proves_nothing(later):
    def away():
        raise UnavailableError("no answer")

    member = Membership(away)
    for _ in range(3 * ROUNDS):
        later()
        member.check(NOTHING)


def test_a_client_that_begins_anew_has_its_time_anew(later):
    beliefs = [NOTHING] * (2 * ROUNDS)

    first, second = checked(later, [OURS] * len(beliefs), beliefs)
    assert second - first > BELATED_S // ASK_S
