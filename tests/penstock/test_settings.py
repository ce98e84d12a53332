import dataclasses
import re
from pathlib import Path

import pytest

from penstock.settings import Settings, read_settings
from streams.errors import ConfigError

DOCS = (Path(__file__).parents[2] / "docs" / "settings.md").read_text(encoding="utf-8")


def test_without_names_every_default_holds():
    assert read_settings({"HOME": "/home/ann"}) == Settings()


def test_values_are_read_by_the_type_of_their_field():
    settings = read_settings(
        {"PENSTOCK_DATA_DIR": "d", "PENSTOCK_PORT": " 9000 ", "PENSTOCK_SPEED": "60"}
    )

    assert settings == Settings(data_dir=Path("d"), port=9000, speed=60.0)


def test_an_unknown_name_is_refused_with_the_nearest_one():
    with pytest.raises(ConfigError) as caught:
        read_settings({"PENSTOCK_PARTITION": "6"})

    assert caught.value.fix == "did you mean PENSTOCK_PARTITIONS?"


@pytest.mark.parametrize(
    "name", ["PENSTOCK_PIN", "PENSTOCK_CLIENT_DIR", "PENSTOCK_TEST_POSTGRES", "PENSTOCK_KEY"]
)
def test_names_that_others_read_are_let_through(name):
    assert read_settings({name: "x"}) == Settings()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("PENSTOCK_PORT", "http"),
        ("PENSTOCK_PORT", "65536"),
        ("PENSTOCK_PARTITIONS", "0"),
        ("PENSTOCK_SPEED", "0"),
        ("PENSTOCK_SPEED", "nan"),
        ("PENSTOCK_LATENESS_MS", "-1"),
        ("PENSTOCK_LATENESS_MS", "1.5"),
    ],
)
def test_a_value_of_the_wrong_kind_or_range_names_its_variable(name, text):
    with pytest.raises(ConfigError, match=name):
        read_settings({name: text})


def test_a_secret_may_stand_in_a_file(tmp_path):
    (tmp_path / "url").write_text("postgresql://ann@db/penstock\n")

    settings = read_settings({"PENSTOCK_DATABASE_URL_FILE": str(tmp_path / "url")})

    assert settings.database == "postgresql://ann@db/penstock"


def test_a_secret_file_that_is_missing_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match="PENSTOCK_DATABASE_URL_FILE"):
        read_settings({"PENSTOCK_DATABASE_URL_FILE": str(tmp_path / "none")})


def test_a_secret_given_twice_is_an_error(tmp_path):
    (tmp_path / "url").write_text("sqlite:///a.db")

    with pytest.raises(ConfigError, match="both set"):
        read_settings(
            {
                "PENSTOCK_DATABASE_URL": "sqlite:///b.db",
                "PENSTOCK_DATABASE_URL_FILE": str(tmp_path / "url"),
            }
        )


@pytest.mark.parametrize(
    ("host", "loopback", "url"),
    [
        ("127.0.0.1", True, "http://127.0.0.1:8080"),
        ("127.8.0.1", True, "http://127.8.0.1:8080"),
        ("::1", True, "http://[::1]:8080"),
        ("localhost", True, "http://localhost:8080"),
        ("0.0.0.0", False, "http://127.0.0.1:8080"),
        ("::", False, "http://[::1]:8080"),
        ("penstock.example", False, "http://penstock.example:8080"),
    ],
)
def test_who_can_reach_an_address_is_known(host, loopback, url):
    settings = Settings(host=host)

    assert (settings.loopback, settings.url) == (loopback, url)


def test_every_setting_is_documented_with_its_default():
    rows = dict(re.findall(r"^\| `PENSTOCK_(\w+)` \| (.*?) \|", DOCS, re.MULTILINE))

    assert [name.lower() for name in rows] == [f.name for f in dataclasses.fields(Settings)]
    for field in dataclasses.fields(Settings):
        assert rows[field.name.upper()] == (f"`{field.default}`" if field.default != "" else "")
