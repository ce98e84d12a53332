"""The published schemas are those of the decoder."""

from pathlib import Path

import msgspec
import pytest

import rollout.schemas
from streams import schemas
from streams.events import TYPES

FOLDER = Path(__file__).parents[2] / "docs" / "schemas"


def test_the_published_schemas_are_current():
    published = {path.name: path.read_bytes() for path in FOLDER.glob("*.json")}

    assert published == schemas.files() | rollout.schemas.files(), (
        "python -m streams.schemas docs/schemas; python -m rollout.schemas docs/schemas"
    )


@pytest.mark.parametrize("name", TYPES)
def test_a_schema_tells_the_type_and_what_is_required(name):
    published = msgspec.json.decode(schemas.files()[name.removeprefix("io.penstock.") + ".json"])
    event = published["$defs"][TYPES[name].__name__]

    assert event["properties"]["type"]["enum"] == [name]
    assert {"type", "model", "time"} <= set(event["required"])
    assert not {"audit", "blind"} & event["properties"].keys()
