"""`holdfast config`: what is set, to what, and by whom."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SETTINGS = """
api_port = 9000
frameworks_file = "frameworks.yaml"

[providers.local]
base_url = "http://user:p4ssword@localhost:1/v1"
api_key = "sk-of-the-file"
"""
FRAMEWORKS = """
frameworks:
  template_mappings:
    chat-assistant: {preferred: [native]}
  framework_specific:
    native: {max_concurrent_executions: 4}
"""
ENVIRONMENT = {
    "HOLDFAST_LOG_LEVEL": "debug",
    "HOLDFAST_DATABASE_URL": "postgresql://me:p4ssword@db/x",
    "HOLDFAST_PROVIDERS": '{"other": {"base_url": "http://localhost:2"}}',
    "OPENAI_API_KEY": "sk-of-the-environment",
}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with both files."""
    (tmp_path / "holdfast.toml").write_text(SETTINGS)
    (tmp_path / "frameworks.yaml").write_text(FRAMEWORKS)
    return tmp_path


def test_every_setting_has_a_value_and_an_origin(place: Path) -> None:
    done = config(place, "list", "-o", "json", "--data-dir", str(place / "data"))

    said = {item["key"]: (item["value"], item["origin"]) for item in json.loads(done.stdout)["items"]}
    limits = "frameworks.framework_specific"
    assert said["data_dir"] == (str(place / "data"), "option --data-dir")
    assert said["log_level"] == ("debug", "environment variable HOLDFAST_LOG_LEVEL")
    assert said["api_port"] == (9000, f"{place}/holdfast.toml:2:12")
    assert said["api_host"] == ("127.0.0.1", "default")
    assert said["providers.local.wire"] == ("openai", "default")
    assert said["providers.other.base_url"][1] == "environment variable HOLDFAST_PROVIDERS"
    assert said["frameworks.default_framework"] == ("default", "default")
    assert said["frameworks.template_mappings.chat-assistant.preferred"] == (
        ["native"],
        f"{place}/frameworks.yaml:4:22",
    )
    assert said[f"{limits}.native.max_concurrent_executions"] == (4, f"{place}/frameworks.yaml:6:14")
    assert said[f"{limits}.claude_code.memory_limit_mb"] == (250, "manifest of claude_code")
    assert said[f"{limits}.native.timeout_seconds"] == (3600, "setting turn_timeout_seconds")


def test_no_secret_is_shown(place: Path) -> None:
    done = config(place, "list", "-o", "json")

    said = {item["key"]: (item["value"], item["origin"]) for item in json.loads(done.stdout)["items"]}
    assert said["database_url"] == ("(secret)", "environment variable HOLDFAST_DATABASE_URL")
    assert said["providers.openai.api_key"] == ("(secret)", "environment variable OPENAI_API_KEY")
    assert said["providers.local.api_key"] == ("(secret)", f"{place}/holdfast.toml:7:11")
    assert said["providers.local.base_url"][0] == "http://(secret)@localhost:1/v1"
    assert "p4ssword" not in done.stdout
    assert "sk-of-the" not in done.stdout


def test_a_file_of_a_secret_is_an_origin(place: Path) -> None:
    (place / "secrets").mkdir()
    (place / "secrets" / "api_key").write_text("sk-of-the-directory")

    done = config(place, "explain", "api_key", HOLDFAST_SECRETS_DIR=str(place / "secrets"))

    assert done.stdout.split() == ["key", "api_key", "value", "(secret)", "origin", "file", f"{place}/secrets/api_key"]


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        ("api_port", {"key": "api_port", "value": 9000, "origin": "holdfast.toml:2:12"}),
        ("worker_slots", {"key": "worker_slots", "value": None, "origin": "default"}),
    ],
)
def test_one_key_is_explained(place: Path, key: str, shown: dict[str, Any]) -> None:
    done = config(place, "explain", key, "-o", "json")

    assert json.loads(done.stdout.replace(f"{place}/", "")) == shown


@pytest.mark.parametrize(
    ("key", "meant"), [("api_prot", "api_port"), ("default_framework", "frameworks.default_framework")]
)
def test_a_key_that_there_is_not_may_be_misspelt(place: Path, key: str, meant: str) -> None:
    done = config(place, "explain", key)

    assert done.returncode == 2
    assert done.stderr.splitlines() == [f"Error: There is no setting '{key}'.", f"Did you mean '{meant}'?"]


def test_a_frameworks_file_that_cannot_be_used_is_told_with_its_places(place: Path) -> None:
    (place / "frameworks.yaml").write_text("frameworks:\n  default: native\n")

    done = config(place, "list")

    assert done.returncode == 2
    assert f"{place}/frameworks.yaml:2:3: frameworks.default: there is no such key." in done.stderr


@pytest.mark.parametrize("options", [[], ["--detach"]])
def test_nothing_is_started_with_a_frameworks_file_that_cannot_be_used(place: Path, options: list[str]) -> None:
    done = holdfast(place, "up", *options, HOLDFAST_DATA_DIR=str(place / "data"), HOLDFAST_FRAMEWORKS_FILE="/nope.yaml")

    assert (done.returncode, (place / "data").exists()) == (2, False)
    assert done.stderr.startswith("Error: /nope.yaml")
    assert len(done.stderr.splitlines()) <= 2


def config(place: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command `config` there."""
    return holdfast(place, "config", *arguments, **variables)


def holdfast(place: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command there."""
    command = Path(sys.executable).parent / "holdfast"
    environment = {"PATH": os.environ["PATH"], "HOME": str(place), **ENVIRONMENT, **variables}
    return subprocess.run(
        [command, *arguments],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
