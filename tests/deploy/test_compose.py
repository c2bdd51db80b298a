"""The Compose file is valid, hangs together, and opens nothing beyond loopback."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from control_plane.local.temporal import DYNAMIC_CONFIG, SEARCH_ATTRIBUTES
from control_plane.settings import PREFIX, Settings
from control_plane.worker.process import HAND_BACK
from tests.architecture.source import ROOT
from tests.containers.images import IMAGES
from tests.docs.test_docs import misfits

COMPOSE = ROOT / "deploy" / "compose"
TEXT = (COMPOSE / "compose.yaml").read_text()
SCHEMA = json.loads((ROOT / "tests" / "deploy" / "schemas" / "Compose.json").read_text())
FILE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
OURS = {name: service for name, service in SERVICES.items() if "holdfast-" in service["image"]}
WORKERS = {name: service for name, service in OURS.items() if service["command"][0] == "worker"}
VARIABLE = re.compile(r"(?<!\$)\$\{(\w+):-([^}]*)\}")
COMMANDS = (["docker", "compose"], ["docker-compose"])


def seconds(text: str) -> float:
    """Of a duration."""
    return float(text.removesuffix("s"))


def compose_command() -> list[str] | None:
    """What runs Compose files here, if anything does."""
    for command in COMMANDS:
        if shutil.which(command[0]):
            ran = subprocess.run([*command, "version"], capture_output=True, check=False, timeout=60)
            if ran.returncode == 0:
                return command
    return None


def test_the_file_is_what_compose_takes() -> None:
    jsonschema_rs.validator_for(SCHEMA).validate(FILE)


def test_the_schema_refuses_a_misspelt_field() -> None:
    misspelt: dict[str, Any] = {**FILE, "services": {"api": {**SERVICES["control-plane"], "healtcheck": {}}}}

    assert not jsonschema_rs.validator_for(SCHEMA).is_valid(misspelt)


def test_compose_itself_takes_the_file(tmp_path: Path) -> None:
    if (command := compose_command()) is None:
        pytest.skip("neither `docker compose` nor docker-compose is here; the schema of its own is checked in any case")
    shutil.copytree(COMPOSE, tmp_path / "compose", ignore=shutil.ignore_patterns("secrets", ".env"))
    shutil.copy(COMPOSE / ".env.example", tmp_path / "compose" / ".env")

    ran = subprocess.run(
        [*command, "config", "--quiet"],
        cwd=tmp_path / "compose",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert (ran.returncode, ran.stderr) == (0, "")


def test_every_variable_is_in_the_example_with_its_default() -> None:
    lines = (COMPOSE / ".env.example").read_text().splitlines()
    given = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    project = given.pop("COMPOSE_PROJECT_NAME")

    assert (project, given) == ("holdfast", dict(VARIABLE.findall(TEXT)))


def test_settings_are_settings_and_no_secrets() -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields if name not in Settings.secrets}
    given = {name for service in OURS.values() for name in service["environment"] if name.startswith(PREFIX)}

    assert given - known == {"HOLDFAST_SECRETS_DIR"}


def test_images_and_commands_are_there() -> None:
    images = {
        VARIABLE.sub("", service["image"]).removeprefix("holdfast-").removesuffix(":") for service in OURS.values()
    }

    assert images <= set(IMAGES)
    assert [misfits(service["command"]) for service in OURS.values()] == [[]] * len(OURS)


def test_nothing_is_published_beyond_loopback() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", ())]

    assert [port for port in published if not port.startswith("127.0.0.1:")] == []
    assert len(published) == 2


def test_ours_are_restricted() -> None:
    for service in OURS.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]


def test_what_is_waited_for_says_when_it_is_there() -> None:
    for name, service in SERVICES.items():
        for other, wanted in service.get("depends_on", {}).items():
            ends = SERVICES[other]["restart"] == "on-failure"
            assert ends == (wanted["condition"] == "service_completed_successfully"), (name, other)
            assert ends or "healthcheck" in SERVICES[other] or other == "control-plane", (name, other)


def test_names_lead_to_what_is_there() -> None:
    for service in SERVICES.values():
        assert set(service["networks"]) <= FILE["networks"].keys()
        assert set(service.get("secrets", ())) <= FILE["secrets"].keys()
        for volume in service.get("volumes", ()):
            place = volume.partition(":")[0]
            assert place in FILE["volumes"] or place.startswith("./secrets/") or (COMPOSE / place).is_file(), volume


def test_workers_get_longer_to_end_than_they_take() -> None:
    cancel = Settings.model_fields["cancel_deadline_seconds"].default
    for service in WORKERS.values():
        grace = float(service["environment"]["HOLDFAST_WORKER_GRACE_SECONDS"])
        assert seconds(service["stop_grace_period"]) > grace + cancel + HAND_BACK.total_seconds()


def test_pools_do_not_see_the_database_nor_workflows_the_providers() -> None:
    mounted = {
        name: [volume.partition(":")[0] for volume in service["volumes"] if volume.startswith("./secrets/")]
        for name, service in OURS.items()
    }

    assert mounted == {
        "migrate": ["./secrets/control-plane"],
        "control-plane": ["./secrets/control-plane"],
        "workflow-worker": ["./secrets/workflow-worker"],
        "pool-default": ["./secrets/pool"],
        "pool-native": ["./secrets/pool"],
    }


def test_the_collector_asks_every_process_that_serves_metrics() -> None:
    scraped = yaml.safe_load((COMPOSE / "collector.yaml").read_text())["receivers"]["prometheus"]["config"]
    targets = {
        target for job in scraped["scrape_configs"] for each in job["static_configs"] for target in each["targets"]
    }
    ports = {name: service["environment"]["HOLDFAST_WORKER_HEALTH_PORT"] for name, service in WORKERS.items()}

    assert targets == {"control-plane:8080", *(f"{name}:{port}" for name, port in ports.items())}


def test_temporal_is_set_up_as_the_local_stack_is() -> None:
    configured: dict[str, list[dict[str, Any]]] = yaml.safe_load((COMPOSE / "temporal.yaml").read_text())
    settled = {f"{name}={json.dumps(value['value'])}" for name, (value,) in configured.items()}
    made = re.findall(r"--name (\w+) --type Keyword", " ".join(SERVICES["search-attributes"]["entrypoint"]))

    assert settled == {setting for setting in DYNAMIC_CONFIG if setting.startswith("matching.")}
    assert tuple(made) == SEARCH_ATTRIBUTES
