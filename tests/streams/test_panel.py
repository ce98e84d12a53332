"""The reading side of the built-in collector."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams import panel
from streams.pipe import LATENCY_BUCKETS, latency_bucket


@given(st.lists(st.integers(1, 10**7), min_size=1, max_size=200), st.sampled_from([0.5, 0.9, 0.99]))
def test_a_quantile_is_within_a_fourth_root_of_two_of_the_exact_one(latencies, share):
    buckets = np.bincount(latency_bucket(np.array(latencies)), minlength=LATENCY_BUCKETS)

    found = panel.quantile_ms(buckets, share)

    exact = sorted(latencies)[int(np.ceil(share * len(latencies))) - 1] / 1000
    assert found == pytest.approx(exact, rel=2**0.25 - 1 + 1e-3, abs=0.0006)


def test_without_latencies_there_is_no_quantile():
    assert panel.quantile_ms(np.zeros(LATENCY_BUCKETS, np.int64), 0.5) is None
