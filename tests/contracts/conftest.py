"""The places that `test_logs.py` runs over; another log joins by a name here."""

from pathlib import Path

import pytest

from tests.contracts.logs import EmbeddedPlace, KafkaPlace, Place


@pytest.fixture(
    params=[
        "embedded",
        pytest.param("kafka", marks=pytest.mark.cluster),
        pytest.param("faust", marks=pytest.mark.cluster),
    ]
)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    match request.param:
        case "embedded":
            return EmbeddedPlace(tmp_path)
        case "kafka" | "faust":
            server = request.getfixturevalue("kafka_server")
            prefix = request.getfixturevalue("topic_prefix")
            return KafkaPlace(server.address, prefix, kind=request.param)
    raise ValueError(request.param)
