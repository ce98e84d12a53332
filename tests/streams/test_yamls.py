import pytest

from streams import yamls
from streams.errors import InputError
from streams.models import Declaration


def read(text):
    return yamls.read(text.encode(), Declaration, name="m.yaml")


def test_scalars_stay_text_until_the_schema_gives_a_type():
    declaration = read(
        "model: NO\ntask: classification\nclasses: [1.10, 16:30, on]\n"
        "costs: {false_alarm: 2, miss: 10.5}\nthresholds: {night: 0.8}"
    )

    assert declaration.model == "NO"
    assert declaration.classes == ("1.10", "16:30", "on")
    assert declaration.costs.miss == 10.5
    assert declaration.thresholds == {"night": 0.8}


def test_json_is_read_by_its_own_types():
    assert read('{"model": "m", "task": "regression"}').model == "m"
    with pytest.raises(InputError, match="model"):
        read('{"model": 1, "task": "regression"}')


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("model: m\ntask: &a regression", 2, "anchors"),
        ("model: m\ntask: *a", 2, "anchors"),
        ("model: m\ntask: !!python/name:os.system x", 2, "tag"),
        ("model: m\ntask: !!str x", 2, "tag"),
        ("model: m\nmodel: n", 2, "twice"),
        ("model: m\n? [a]\n: b", 2, "key"),
        ("model: m\ntask: [", 2, ""),
        ("model: m\n\tx: 1", 2, ""),
        ("model: m\n---\nmodel: n", 2, ""),
        ("a: " * 30 + "b", 1, ""),
        ("[" * 30 + "]" * 30, 1, "nested"),
    ],
)
def test_what_makes_yaml_mean_more_than_it_says_is_refused_with_its_line(text, line, reason):
    with pytest.raises(InputError, match=f"m.yaml, line {line}: .*{reason}"):
        read(text)


@pytest.mark.parametrize(
    ("text", "field", "line", "fix"),
    [
        ("model: m\ntask: regression\nownr: ann", "ownr", 3, "did you mean owner?"),
        (
            "model: m\ntask: regression\nfeatures:\n  a: {type: number}\n  b:\n    tipe: number",
            "features.b.tipe", 6, "did you mean type?",
        ),
        (
            "model: m\ntask: regression\nslices:\n  - name: x\n    where:\n      - tga: y",
            "slices[0].where[0].tga", 6, "did you mean tag?",
        ),
        ("model: m\ntask: regression\ncosts: {false_alarm: 1, miss: much}", "costs.miss", 3, ""),
        ("model: m\ntask: regresion", "task", 2, "did you mean regression?"),
        (
            "model: m\ntask: 7", "task", 2,
            "known: classification, detection, observed, regression, text",
        ),
        (
            "model: m\ntask: regression\nhorizons:\n  outcome: soon", "horizons.outcome", 4,
            "for example 14d",
        ),
        ("model: m\nowner: ann", "task", 1, "add task"),
        ("model: m\ntask: regression\nclasses: spam", "classes", 3, "write a list: [spam]"),
        ("model: m\ntask: regression\ncosts: {false_alarm: inf, miss: 1}",
         "costs.false_alarm", 3, ""),
        (
            "model: m\ntask: regression\nslices:\n  - name: x\n    where:\n"
            "      - {feature: f, from: inf}",
            "slices[0].where[0].from", 6, "",
        ),
    ],
)  # fmt: skip
def test_an_error_names_line_field_and_the_nearest_thing_that_is_valid(text, field, line, fix):
    with pytest.raises(InputError, match=f"m.yaml, line {line}") as caught:
        read(text)

    assert (caught.value.field, caught.value.fix) == (field, fix)


@pytest.mark.parametrize("text", ["", "# nothing", "- a\n- b", "text"])
def test_a_file_that_declares_nothing_is_an_error(text):
    with pytest.raises(InputError):
        read(text)


def test_a_file_is_bounded_and_utf8():
    with pytest.raises(InputError, match="at most 262144"):
        read("#" * 300_000)
    with pytest.raises(InputError, match="not UTF-8 at byte 7"):
        yamls.read(b"model: \xff", Declaration)


def test_json_has_lines_too_and_no_key_twice():
    with pytest.raises(InputError, match=r"m.yaml, line 2: ownr") as caught:
        read('{"model": "m", "task": "regression",\n "ownr": "ann"}')
    assert caught.value.fix == "did you mean owner?"
    with pytest.raises(InputError, match="'model' stands twice"):
        read('{"model": "m", "task": "regression", "model": "n"}')
    with pytest.raises(InputError, match=r"m.yaml: ownr"):
        read('{\t"model": "m",\n\t"task": "regression",\n\t"ownr": "ann"}')
