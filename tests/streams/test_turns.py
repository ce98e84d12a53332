"""How long one thread may keep the interpreter from another."""

import sys

import pytest

from streams.turns import TURN_S, short_turns


def test_turns_are_short_inside_and_as_before_afterwards_whatever_happens():
    before = sys.getswitchinterval()

    def failing():
        with short_turns():
            inside.append(sys.getswitchinterval())
            raise KeyboardInterrupt

    inside = []
    with pytest.raises(KeyboardInterrupt):
        failing()

    assert inside == [pytest.approx(TURN_S)]
    assert sys.getswitchinterval() == before > TURN_S
