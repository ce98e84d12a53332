"""docker-compose.yml, held against the Compose specification, our code and itself."""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import click
import pytest
from sqlalchemy import make_url

from deploy.cluster_local import topology
from penstock.cli.main import cli
from penstock.settings import read_settings
from tests.deploy.files import COMPOSE, LASTING, OURS, PROJECT, PROMETHEUS, ROOT, SERVICES, places

SECRETS = ROOT / "deploy" / "compose" / "secrets.sh"


def secrets(folder: Path) -> dict[str, str]:
    subprocess.run(["sh", SECRETS, folder], check=True)
    return {path.name: path.read_text() for path in folder.iterdir()}


@pytest.mark.parametrize("change", [None, ("  web:", "  web:\n    comand: [web]")])
def test_it_is_what_the_specification_allows(tmp_path, change):
    text = (ROOT / "docker-compose.yml").read_text()
    file = tmp_path / "docker-compose.yml"
    file.write_text(text.replace(*change) if change else text)

    checked = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "check_jsonschema",
         "--builtin-schema", "vendor.compose-spec", file],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (checked.returncode == 0) == (change is None), checked.stdout + checked.stderr


@pytest.mark.parametrize("name", sorted(OURS))
def test_every_command_of_ours_is_a_command(name):
    found: click.Command = cli
    with click.Context(cli) as ctx:
        for word in SERVICES[name]["command"]:
            assert isinstance(found, click.Group), word
            found = found.get_command(ctx, word)
            assert found is not None, word

    assert not isinstance(found, click.Group)


@pytest.mark.parametrize("name", sorted(OURS))
def test_every_setting_of_ours_is_a_setting_and_names_services_of_this_file(name, tmp_path):
    told = {key: str(value) for key, value in SERVICES[name]["environment"].items()}
    made = secrets(tmp_path)
    assert places(SERVICES[name])[1] == ("secrets", "/run/penstock")
    folder, _, file = told["PENSTOCK_DATABASE_URL_FILE"].rpartition("/")
    assert (folder, file in made) == ("/run/penstock", True)

    settings = read_settings(told | {"PENSTOCK_DATABASE_URL_FILE": str(tmp_path / file)})

    database, server = make_url(settings.database), SERVICES["postgres"]["environment"]
    assert database.host == "postgres"
    assert (database.username, database.database) == (
        server["POSTGRES_USER"],
        server["POSTGRES_DB"],
    )
    advertised = SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert f"INTERNAL://{settings.kafka_servers}" in advertised.split(",")


def test_the_databases_password_is_made_once_and_is_nobody_elses(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()

    made = secrets(first)

    assert secrets(first) == made
    assert secrets(second) != made
    assert make_url(made["database_url"]).password == made["postgres_password"]
    assert len(made["postgres_password"]) == 48
    file = SERVICES["postgres"]["environment"]["POSTGRES_PASSWORD_FILE"]
    assert file.rpartition("/")[2] in made


def test_nothing_secret_stands_in_it():
    said = [
        f"{name}: {key}"
        for name, service in SERVICES.items()
        for key in service.get("environment", {})
        if re.search("PASSWORD|SECRET|TOKEN", key) and not key.endswith("_FILE")
    ]

    assert said == []


def test_every_published_port_is_this_machines_alone_and_nobody_elses():
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]

    parts = [re.fullmatch(r"127\.0\.0\.1:(\d+):(\d+)", port) for port in published]
    assert all(parts), published
    assert max(Counter(part[1] for part in parts if part).values()) == 1


@pytest.mark.parametrize("name", SERVICES)
def test_every_image_has_a_version(name):
    image = SERVICES[name]["image"]

    _, _, tag = image.rpartition(":")
    assert re.fullmatch(r"v?\d+\.\d+(\.\d+)?", tag), image
    assert name not in OURS or tag == PROJECT["version"]


@pytest.mark.parametrize("name", SERVICES)
def test_whatever_is_waited_for_can_come_true(name):
    for other, how in SERVICES[name].get("depends_on", {}).items():
        condition = how["condition"]
        if condition == "service_healthy":
            assert other in LASTING
            assert other in OURS or "test" in SERVICES[other]["healthcheck"]
        else:
            assert condition == "service_completed_successfully"
            assert other not in LASTING


@pytest.mark.parametrize("name", sorted(LASTING))
def test_whatever_lasts_is_started_again_and_tells_whether_it_is_well(name):
    service = SERVICES[name]

    assert service["restart"] == "unless-stopped"
    assert name in OURS or service["healthcheck"]["test"]  # our image brings its own
    assert not service.get("healthcheck", {}).get("disable")


def test_every_volume_is_declared_and_every_file_is_there():
    mounted = [place for service in SERVICES.values() for place, _ in places(service)]
    named = {place for place in mounted if not place.startswith((".", "/"))}

    assert named == set(COMPOSE["volumes"])
    assert [
        place for place in mounted if place.startswith(".") and not (ROOT / place).exists()
    ] == []


def test_our_roles_may_do_nothing_that_they_need_not():
    for name in OURS:
        service = SERVICES[name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert "no-new-privileges:true" in service["security_opt"]


def test_names_in_the_cluster_are_unlike():
    names = [SERVICES[name]["environment"]["PENSTOCK_WORKER"] for name in OURS & LASTING]

    assert sorted(names) == sorted(OURS & LASTING)


def test_prometheus_asks_every_role_where_it_answers_and_by_a_name_that_it_knows():
    asked = {
        target
        for job in PROMETHEUS["scrape_configs"]
        for group in job["static_configs"]
        for target in group["targets"]
    }

    answering = set()
    for name in OURS & LASTING:
        told = SERVICES[name]["environment"]
        if "PENSTOCK_OPS_PORT" in told:
            assert told["PENSTOCK_OPS_HOST"] == "0.0.0.0"
            answering.add(f"{name}:{told['PENSTOCK_OPS_PORT']}")
        else:
            assert told["PENSTOCK_HOST"] == "0.0.0.0"
            assert name in told["PENSTOCK_ALLOWED_HOSTS"].split(",")
            answering.add(f"{name}:{told.get('PENSTOCK_PORT', 8080)}")
    assert asked == answering


def test_the_roles_without_containers_are_those_of_the_file_in_its_order():
    roles = topology.read()

    assert {role.name for role in roles} == OURS
    once = [role.name for role in roles if role.is_once]
    assert once == ["topics", "schema"]
    assert [role.name for role in roles][: len(once)] == once
    assert {role.name for role in roles if not role.is_once} == OURS & LASTING


@pytest.mark.parametrize("count", [1, 2, 5])
def test_any_number_of_workers_differ_in_their_names_alone(count):
    before = {role.name: role for role in topology.read()}

    roles = {role.name: role for role in topology.with_workers(topology.read(), count)}

    workers = [role for role in roles.values() if role.command == ("worker",)]
    assert [role.environ["PENSTOCK_WORKER"] for role in workers] == [
        f"worker-{number}" for number in range(1, count + 1)
    ]
    assert [role.name for role in workers] == [role.environ["PENSTOCK_WORKER"] for role in workers]
    for name in before.keys() & roles.keys():
        assert roles[name] == before[name]
    assert {"control", "web", "topics", "schema"} < roles.keys()
