from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.web.rates import MAX_KEYS, MinuteCaps, TokenBuckets


def test_a_burst_passes_and_its_debt_is_waited_for():
    buckets = TokenBuckets(100.0)

    assert buckets.spend("k", 500, 0.0) == 0
    assert buckets.spend("k", 1, 0.0) == 3
    assert buckets.spend("k", 1, 2.9) == 1
    assert buckets.spend("k", 1, 3.1) == 0
    assert buckets.spend("other", 1, 0.0) == 0


def test_a_rate_of_zero_is_no_limit():
    assert TokenBuckets(0.0).spend("k", 10**9, 0.0) == 0


@given(st.lists(st.tuples(st.integers(1, 500), st.floats(0, 2)), min_size=20, max_size=60))
@settings(deadline=None, derandomize=True)
def test_over_time_no_key_gets_more_than_its_rate_and_a_burst(spends):
    buckets, now, taken, largest = TokenBuckets(100.0), 0.0, 0, 0
    for count, pause in spends:
        now += pause
        largest = max(largest, count)
        if buckets.spend("k", count, now) == 0:
            taken += count

    assert taken <= 100.0 * now + 200 + largest


def test_the_keys_that_are_remembered_are_bounded():
    buckets = TokenBuckets(1.0)

    for k in range(MAX_KEYS + 5):
        buckets.spend(str(k), 1, 0.0)

    assert len(buckets._left) == MAX_KEYS


def test_a_cap_begins_anew_each_minute():
    caps = MinuteCaps(100)

    assert [caps.take("k", 70, 59.0), caps.take("k", 70, 59.9)] == [70, 30]
    assert caps.take("other", 70, 59.9) == 70
    assert caps.take("k", 70, 60.0) == 70
