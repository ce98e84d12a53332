import dataclasses

import pytest

from penstock.installation import opened, prepare, refuse_open_doors, schema
from penstock.settings import Settings
from streams import keys
from streams.db.clock import Clock
from streams.db.engine import reading, writing
from streams.errors import ConfigError, ConflictError
from streams.installation import installation_id, keep_tick, secret
from streams.topics import TOPICS


@pytest.fixture
def settings(tmp_path):
    return Settings(data_dir=tmp_path / "data")


def identity(settings):
    with opened(settings) as here, reading(here.engine) as connection:
        return secret(connection), installation_id(connection)


def test_a_start_makes_everything_once(settings):
    prepare(settings)
    before = identity(settings)

    prepare(settings)

    assert identity(settings) == before
    with opened(settings) as here:
        assert {here.log.state(name).partitions for name in TOPICS} == {12}
    assert settings.data_dir.stat().st_mode & 0o077 == 0


def test_what_was_never_prepared_says_what_to_do(settings):
    with pytest.raises(ConfigError) as caught, opened(settings):
        pass

    assert caught.value.fix == "penstock up"
    assert schema(settings).current is None
    assert not settings.data_dir.exists()


def test_another_number_of_partitions_is_refused(settings):
    prepare(settings)

    with pytest.raises(ConflictError, match="partitions"):
        prepare(dataclasses.replace(settings, partitions=6))


def test_at_speed_one_the_clock_is_the_walls(settings):
    prepare(settings)

    with opened(settings) as here:
        assert here.clock == Clock()


def test_every_process_shares_a_faster_clock_and_it_goes_on_after_a_restart(settings):
    fast = dataclasses.replace(settings, speed=60.0)
    prepare(fast)
    with opened(fast) as here, opened(fast) as other:
        assert here.clock == other.clock
        kept_ms = here.now_ms() + 3_600_000
        with writing(here.engine) as connection:
            keep_tick(connection, kept_ms)

    prepare(fast)

    with opened(fast) as here:
        assert 0 <= here.now_ms() - kept_ms < 600_000


def test_an_address_that_others_reach_needs_a_key(settings):
    prepare(settings)
    with opened(settings) as here:
        refuse_open_doors(here)

    with opened(dataclasses.replace(settings, host="0.0.0.0")) as here:
        with pytest.raises(ConfigError, match="no key exists"):
            refuse_open_doors(here)
        with writing(here.engine) as connection:
            keys.create(connection, name="svc", scopes=["events:write"], models=["*"], now_ms=0)
        refuse_open_doors(here)
