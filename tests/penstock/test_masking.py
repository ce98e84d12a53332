"""What is declared sensitive is masked wherever an event has it by name, and nothing else is."""

from hypothesis import given
from hypothesis import strategies as st

from penstock.masking import MASK, masked

NAMES = st.sampled_from(("age", "income", "region"))
VALUES = st.one_of(st.none(), st.booleans(), st.floats(allow_nan=False), st.text(max_size=5))
EVENTS = st.fixed_dictionaries(
    {"prediction_id": st.text(max_size=5), "output": st.just({"label": "spam"})},
    optional={
        "features": st.none() | st.dictionaries(NAMES, VALUES),
        "tags": st.none() | st.dictionaries(NAMES, st.text(max_size=5)),
        "inputs": st.none() | st.lists(st.fixed_dictionaries({"name": NAMES, "uri": VALUES})),
    },
)


@given(EVENTS, st.sets(NAMES))
def test_named_values_are_masked_and_all_others_stay(event, names):
    before = repr(event)

    found = masked(event, names)

    for field in ("features", "tags"):
        values, shown = event.get(field) or {}, found.get(field) or {}
        assert shown == {k: MASK if k in names else v for k, v in values.items()}
    for given_, shown in zip(event.get("inputs") or [], found.get("inputs") or [], strict=True):
        uri = MASK if given_["name"] in names else given_["uri"]
        assert shown == {"name": given_["name"], "uri": uri}
    rest = event.keys() - {"features", "tags", "inputs"}
    assert found.keys() == event.keys()
    assert all(found[k] == event[k] for k in rest)
    assert repr(event) == before


@given(EVENTS)
def test_a_model_that_declares_none_hides_nothing(event):
    assert masked(event, ()) == event
