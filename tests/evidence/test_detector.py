"""The detector's promise, 1 / alpha windows to a false alarm, exactly and by simulation."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence.bets import LOG_WEIGHTS, BoundedMean, Plan
from evidence.detector import START, Detector
from evidence.domain import InputError
from evidence.results import Side
from evidence.risks import EventShare, OneArmShare

ERRORS = Detector(OneArmShare(), effect=0.1, side=Side.ABOVE, alpha=0.001)


def run(detector, windows, state=START):
    for window in windows:
        state = detector.step(state, window)
    return state


def every_sequence(p, n):
    """All sequences of n units, 0 or 1, and the probability of each."""
    units = np.array(list(itertools.product([0, 1], repeat=n)))
    return units, np.prod(np.where(units, p, 1 - p), axis=1)


def counted(units):
    """(good, bad) of the units in each row."""
    bad = units.sum(axis=-1)
    return np.stack([units.shape[-1] - bad, bad], axis=-1)


STATISTICS = [
    (OneArmShare(), 0.3, 0.3),
    (BoundedMean((0.0, 1.0), sigma0=0.5, plan=Plan(n_star=50)), 0.4, 0.4),
    (EventShare(0.25), 2.0, 0.4),  # pi r / (pi r + 1 - pi)
]


# Laws


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize(("statistic", "effect", "p"), STATISTICS, ids=lambda x: type(x).__name__)
def test_at_the_tested_value_every_bettor_expects_one_per_window(statistic, effect, p, side):
    detector = Detector(statistic, effect, side, alpha=0.1)
    units, chance = every_sequence(p, 9)
    state = np.tile(START, (len(units), 1))

    expected = []
    for window in np.split(units, 3, axis=1):
        state = detector.step(state, counted(window))
        expected.append(chance @ np.expm1(state))

    assert np.allclose(np.array(expected).T, [1, 2, 3])
    assert math.isclose(chance @ np.exp(detector.log_m(state)), 3)


@pytest.mark.parametrize("p", [0.0, 0.05, 0.2, 0.3])
def test_below_the_ceiling_no_bettor_expects_more_than_one_per_window(p):
    detector = Detector(OneArmShare(), 0.3, Side.ABOVE, alpha=0.1)
    units, chance = every_sequence(p, 8)
    state = np.tile(START, (len(units), 1))

    for w, window in enumerate(np.split(units, 4, axis=1), start=1):
        state = detector.step(state, counted(window))
        assert (chance @ np.expm1(state) <= w * (1 + 1e-12)).all()


def test_stopped_at_the_alarm_the_detector_is_worth_the_windows_that_passed():
    detector = Detector(OneArmShare(), 0.4, Side.ABOVE, alpha=0.1)
    units, chance = every_sequence(0.4, 13)
    state, windows = np.tile(START, (len(units), 1)), np.zeros(len(units))

    for window in np.split(units, 13, axis=1):
        running = ~detector.alarms(state)
        windows += running
        state = np.where(running[:, None], detector.step(state, counted(window)), state)

    stopped = detector.alarms(state)
    assert 0.2 < chance[stopped].sum() < 0.9
    m = np.exp(detector.log_m(state))
    assert math.isclose(chance @ m, chance @ windows)
    assert m[~stopped].max() < 10 <= m[stopped].min() < 11


def test_by_simulation_false_alarms_are_at_least_one_over_alpha_windows_apart():
    detector = Detector(OneArmShare(), 0.1, Side.ABOVE, alpha=0.05)
    random = np.random.default_rng(20_260)
    state, windows = np.tile(START, (1_000, 1)), np.zeros(1_000)

    for _ in range(200):
        running = ~detector.alarms(state)
        windows += running
        bad = random.binomial(40, 0.1, size=1_000)
        state = np.where(
            running[:, None], detector.step(state, np.stack([40 - bad, bad], axis=-1)), state
        )

    assert (windows < 200).mean() > 0.3  # it does alarm
    assert (
        windows.mean() - 4 * windows.std() / math.sqrt(1_000) >= 20
    )  # cut at 200: the truth is more


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=6))
def test_log_m_is_the_recursion_in_plain_numbers(windows):
    m = np.zeros(len(START))
    for window in windows:
        if any(window):
            wealth = ERRORS.statistic.log_wealth(list(window), ERRORS.effect, ERRORS.side)
            m = (m + 1) * np.exp(wealth)

    total = float(np.exp(LOG_WEIGHTS) @ m)

    state = run(ERRORS, map(list, windows))
    assert math.isclose(ERRORS.log_m(state), math.log(total) if total else -math.inf, abs_tol=1e-6)
    assert ERRORS.alarms(state) == (total >= 1_000)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=6), st.data())
def test_windows_without_units_change_nothing(windows, data):
    at = data.draw(st.integers(0, len(windows)))
    with_idle = [*windows[:at], (0, 0), *windows[at:]]

    assert (run(ERRORS, map(list, with_idle)) == run(ERRORS, map(list, windows))).all()


def test_an_idle_monitor_never_alarms():
    state = run(ERRORS, [[0, 0]] * 2_000)

    assert (state == START).all()
    assert not ERRORS.alarms(state)
    assert ERRORS.log_m(state) == -math.inf


def test_monitors_side_by_side_are_independent():
    first, second = [[95, 5], [70, 30]], [[99, 1], [0, 0]]

    together = run(ERRORS, np.stack([first, second], axis=1), np.tile(START, (2, 1)))

    assert np.allclose(together, [run(ERRORS, first), run(ERRORS, second)])


def test_nothing_overflows_or_becomes_nan_however_much_comes():
    worst = run(ERRORS, [[0, 10**12]] * 5)
    best = run(ERRORS, [[10**12, 0]] * 5)
    back = run(ERRORS, [[10**12, 0]], worst)

    assert ERRORS.alarms(worst)
    assert not ERRORS.alarms(best)
    assert np.isfinite([worst, best, back]).all()


def test_an_impossible_event_alarms_at_once():
    share = BoundedMean((0.0, 1.0), sigma0=0.1)
    never = Detector(share, effect=0.0, side=Side.ABOVE, alpha=1e-6)

    assert never.alarms(run(never, [[100, 0], [99, 1], [100, 0]]))
    assert not never.alarms(run(never, [[100, 0]] * 3))


# What it is for


def test_a_rise_over_the_ceiling_is_found_within_two_windows():
    state = run(ERRORS, [[950, 50]] * 20)

    after = [ERRORS.alarms(run(ERRORS, [[850, 150]] * late, state)) for late in (0, 2)]

    assert after == [False, True]


def test_what_it_takes_to_see_a_rise_does_not_grow_with_the_time_before():
    def delay(good):
        state, bad = run(ERRORS, [[92, 8]] * good), 0
        while not ERRORS.alarms(state):
            state, bad = ERRORS.step(state, [83, 17]), bad + 1
        return bad

    assert delay(10) < 8
    assert delay(5_000) <= delay(10)


def test_a_fall_below_a_floor_is_found_by_the_other_side():
    floor = Detector(BoundedMean((0.0, 1.0), sigma0=0.3), 0.8, Side.BELOW, alpha=0.001)

    assert not floor.alarms(run(floor, [[150, 850]] * 50))
    assert floor.alarms(run(floor, [[150, 850]] * 50 + [[300, 700]] * 3))


def test_a_state_outlives_a_change_of_the_assignment():
    before = Detector(EventShare(pi=0.1), effect=1.0, side=Side.ABOVE, alpha=0.001)
    after = replace(before, statistic=EventShare(pi=0.5))

    state = run(after, [[10, 30]], run(before, [[90, 20]]))

    assert after.log_m(state) > max(
        before.log_m(run(before, [[90, 20]])), after.log_m(run(after, [[10, 30]]))
    )


@pytest.mark.parametrize(
    ("argument", "call"),
    [
        ("alpha", lambda: replace(ERRORS, alpha=0.0)),
        ("effect", lambda: replace(ERRORS, effect=math.nan)),
        ("state", lambda: ERRORS.step(np.zeros(28), [1, 1])),
        ("state", lambda: ERRORS.step(START - 1, [1, 1])),
        ("state", lambda: ERRORS.step(START * math.nan, [1, 1])),
        ("cells", lambda: ERRORS.step(START, [1, 1, 1])),
        ("cells", lambda: ERRORS.step(START, [1, -1])),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(argument, call):
    with pytest.raises(InputError) as refused:
        call()

    assert refused.value.argument == argument
