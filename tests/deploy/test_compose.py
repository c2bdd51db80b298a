"""The Compose file is valid, hangs together, and opens nothing beyond loopback."""

import asyncio
import json
import os
import re
import shutil
import subprocess
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest

from control_plane.local.temporal import DYNAMIC_CONFIG, SEARCH_ATTRIBUTES, temporal_binary
from control_plane.secret_keys import read_keys
from control_plane.settings import PREFIX, Settings
from control_plane.worker.process import HAND_BACK
from tests.architecture.source import ROOT
from tests.containers.images import IMAGES
from tests.docs.markdown import Document
from tests.docs.shell import run_script
from tests.docs.test_docs import misfits
from tests.stack import Stack

COMPOSE = ROOT / "deploy" / "compose"
TEXT = (COMPOSE / "compose.yaml").read_text()
SCHEMA = json.loads((ROOT / "tests" / "deploy" / "schemas" / "Compose.json").read_text())
FILE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
OURS = {name: service for name, service in SERVICES.items() if "holdfast-" in service["image"]}
WORKERS = {name: service for name, service in OURS.items() if service["command"][0] == "worker"}
COLLECTOR: dict[str, Any] = yaml.safe_load((COMPOSE / "collector.yaml").read_text())
PAGE = Document("docs/compose.md")
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
    assert len(published) == 3


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
            place, named, _ = volume.partition(":")
            assert (
                not named or place in FILE["volumes"] or place.startswith("./secrets/") or (COMPOSE / place).is_file()
            ), volume


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


def reached(name: str) -> set[str]:
    """The services that share a network with one."""
    ours = set(SERVICES[name]["networks"])
    return {other for other, service in SERVICES.items() if ours & set(service["networks"])} - {name}


def test_pools_reach_no_database_and_the_database_no_internet() -> None:
    pools = {name for name in WORKERS if name.startswith("pool-")}
    database = set(SERVICES["postgres"]["networks"])

    for name in pools:
        assert reached(name) - pools == {"control-plane", "temporal", "otel-collector"}
    assert reached("postgres") == {"control-plane", "migrate", "temporal", "temporal-schema"}
    assert "postgres" not in reached("workflow-worker")
    assert all(FILE["networks"][network]["internal"] for network in database)


def test_what_is_published_has_a_network_that_leads_out() -> None:
    for name, service in SERVICES.items():
        leads_out = any("internal" not in FILE["networks"][network] for network in service["networks"])
        assert leads_out or not service.get("ports"), name


def test_temporal_in_several_networks_finds_itself() -> None:
    environment = SERVICES["temporal"]["environment"]

    assert (environment["BIND_ON_IP"], environment["TEMPORAL_BROADCAST_ADDRESS"]) == ("0.0.0.0", "127.0.0.1")


def test_the_collector_asks_every_replica_of_every_process_that_serves_metrics() -> None:
    jobs = {job["job_name"]: job for job in COLLECTOR["receivers"]["prometheus"]["config"]["scrape_configs"]}
    (found,) = jobs["workers"]["dns_sd_configs"]
    ports = {int(service["environment"]["HOLDFAST_WORKER_HEALTH_PORT"]) for service in WORKERS.values()}

    assert jobs["control-plane"]["static_configs"] == [{"targets": ["control-plane:8080"]}]
    assert (set(found["names"]), found["type"], {found["port"]}) == (WORKERS.keys(), "A", ports)


def test_traces_go_where_the_operator_says() -> None:
    pipeline = COLLECTOR["service"]["pipelines"]["traces"]
    sent = {name: COLLECTOR["exporters"][name]["endpoint"] for name in pipeline["exporters"]}
    given = SERVICES["otel-collector"]["environment"]["TRACES_ENDPOINT"]

    assert sent == {"otlphttp": "${env:TRACES_ENDPOINT}"}
    assert given == "${TRACES_ENDPOINT:-http://jaeger:4318}"
    assert "jaeger" in SERVICES


def test_the_collectors_pipelines_are_made_of_what_there_is() -> None:
    for pipeline in COLLECTOR["service"]["pipelines"].values():
        for part, names in pipeline.items():
            assert set(names) <= COLLECTOR[part].keys()


def test_replicas_of_a_pool_share_no_workspaces() -> None:
    places = {name: [volume for volume in service["volumes"] if "/var/lib" in volume] for name, service in OURS.items()}

    assert {name: found for name, found in places.items() if found} == {
        "pool-default": ["/var/lib/holdfast"],
        "pool-native": ["/var/lib/holdfast"],
    }


def test_temporal_is_set_up_as_the_local_stack_is() -> None:
    configured: dict[str, list[dict[str, Any]]] = yaml.safe_load((COMPOSE / "temporal.yaml").read_text())
    settled = {f"{name}={json.dumps(value['value'])}" for name, (value,) in configured.items()}

    assert settled == {setting for setting in DYNAMIC_CONFIG if setting.startswith("matching.")}


def test_temporals_server_and_tools_are_of_one_version_that_is_still_published() -> None:
    images = {SERVICES[name]["image"] for name in ("temporal", "temporal-schema", "temporal-namespace")}
    versions = {default.rpartition(":") for _, default in VARIABLE.findall(" ".join(images))}

    assert {name for name, _, _ in versions} == {"docker.io/temporalio/server", "docker.io/temporalio/admin-tools"}
    assert len({version for _, _, version in versions}) == 1


async def test_the_namespace_gets_what_is_needed_however_often_it_is_asked_for(stack: Stack) -> None:
    script = str(COMPOSE / "temporal-namespace.sh")
    environment = {
        "PATH": f"{temporal_binary().parent}:{os.environ['PATH']}",
        "TEMPORAL_ADDRESS": stack.temporal_address,
        "TEMPORAL_NAMESPACE": "composed",
        "NO_PROXY": "127.0.0.1",
    }

    for _ in range(2):
        ran = await asyncio.create_subprocess_exec("/bin/sh", script, env=environment, stdout=PIPE, stderr=STDOUT)
        told, _ = await ran.communicate()
        assert ran.returncode == 0, told.decode()

    service = stack.temporal.operator_service
    listed = await service.list_search_attributes(ListSearchAttributesRequest(namespace="composed"))
    assert set(SEARCH_ATTRIBUTES) <= set(listed.custom_attributes)


def test_temporals_databases_are_made_and_brought_up_with_the_password_from_its_file(tmp_path: Path) -> None:
    script = (COMPOSE / "temporal-schema.sh").read_text().replace("/run/secrets", str(tmp_path))
    (tmp_path / "postgres_password").write_text("secret")
    tool = tmp_path / "temporal-sql-tool"
    tool.write_text('#!/bin/sh\n[ "$SQL_PASSWORD" = secret ] && echo "$@"\n')
    tool.chmod(0o755)

    told = run_script(script, {"PATH": f"{tmp_path}:{os.environ['PATH']}"}, tmp_path)

    assert told.splitlines() == [
        f"--db {database} {step}"
        for database, schema in (("temporal", "temporal"), ("temporal_visibility", "visibility"))
        for step in (
            "create",
            "setup-schema -v 0.0",
            f"update-schema -d /etc/temporal/schema/postgresql/v12/{schema}/versioned",
        )
    ]


def test_the_secrets_are_made_as_the_page_says(tmp_path: Path) -> None:
    shutil.copytree(COMPOSE, tmp_path / "compose", ignore=shutil.ignore_patterns("secrets", ".env"))

    run_script(PAGE.blocks("bash secrets"), {"PATH": os.environ["PATH"]}, tmp_path / "compose")

    secrets = tmp_path / "compose" / "secrets"
    made = {str(path.relative_to(secrets)) for path in secrets.rglob("*") if path.is_file()}
    assert made == {
        "postgres_password",
        "control-plane/database_url",
        "control-plane/secrets_key",
        "pool/providers__openai__api_key",
        "pool/providers__openai__base_url",
    }
    assert secrets.stat().st_mode & 0o777 == 0o700
    assert all((secrets / path).stat().st_mode & 0o004 for path in made)
    assert len(read_keys((secrets / "control-plane/secrets_key").read_text())) == 1
    assert (secrets / "postgres_password").read_text().strip() in (secrets / "control-plane/database_url").read_text()


def test_the_pages_commands_name_services_that_there_are() -> None:
    words = " ".join(line for line in PAGE.text.splitlines() if "docker compose" in line)
    named = set(re.findall(r"(?:up --detach|run --rm|--scale) ([a-z][a-z-]+)", words))

    assert named == {"control-plane", "migrate", "pool-native"}
    assert named <= SERVICES.keys()
