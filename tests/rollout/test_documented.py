"""docs/rollouts.md names every field and every word that a spec may hold."""

import re
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from evidence.forms import Form
from rollout import spec

DOCS = (Path(__file__).parents[2] / "docs" / "rollouts.md").read_text(encoding="utf-8")
INLINE = re.sub(r"```.*?```", "", DOCS, flags=re.S)
WORDS = set(re.findall(r"[\w-]+", " ".join(re.findall(r"`([^`]+)`", INLINE))))


def fields(kind):
    """Every field's name in the file, of `kind` and of what it holds."""
    if isinstance(kind, msgspec.inspect.StructType):
        for field in kind.fields:
            yield field.encode_name
            yield from fields(field.type)
    for inner in (*getattr(kind, "types", ()), getattr(kind, "item_type", None)):
        if inner is not None:
            yield from fields(inner)
    if isinstance(kind, msgspec.inspect.Metadata):
        yield from fields(kind.type)


def test_every_field_is_documented():
    assert set(fields(msgspec.inspect.type_info(spec.Rollout))) <= WORDS


@pytest.mark.parametrize(
    "words", [spec.Source, spec.Stat, spec.Loss, spec.Otherwise], ids=["from", "stat", "of", "end"]
)
def test_every_word_is_documented(words):
    assert set(get_args(words)) <= WORDS


def test_every_form_of_evidence_is_documented():
    written = set(re.findall(r"^\| .* \| ([a-z ]+?)(?:: .*)? \|$", DOCS, re.M))

    assert {form.value for form in Form} <= written
