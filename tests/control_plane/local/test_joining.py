"""A worker that is started by hand takes some settings from the local stack of its data directory, and no others."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from control_plane.local.credentials import Credentials, write_credentials
from control_plane.local.directory import DataDirectory
from control_plane.local.joining import joined
from control_plane.local.state import Ports, ProcessIdentity, StackPhase, StackState, write_state
from control_plane.settings import Settings
from control_plane.settings_loading import load_settings

API = "http://127.0.0.1:18080"
VARIABLES = ("TEMPORAL_ADDRESS", "TEMPORAL_NAMESPACE", "TEMPORAL_CONFIG_FILE")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is configured; what is set is taken away again."""
    for name in [name for name in os.environ if name.startswith(("HOLDFAST_", "OPENAI_", "ANTHROPIC_"))]:
        monkeypatch.delenv(name)
    for name in VARIABLES:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[DataDirectory]:
    """The directory of a stack whose supervisor is this process."""
    directory = DataDirectory(tmp_path)
    write_credentials(directory.credentials, Credentials("of-the-command", "of-workers", "shared"))
    state = StackState(
        phase=StackPhase.RUNNING,
        supervisor=ProcessIdentity(pid=os.getpid(), created=0.0),
        started_at=datetime.now(UTC),
        ports=Ports(api=1, temporal=2, temporal_ui=3, temporal_http=4, temporal_metrics=5, model=6),
        api_url=API,
        temporal_address="127.0.0.1:17233",
        temporal_ui_url="http://127.0.0.1:18233",
        database_url="postgresql:///none",
        model_url="http://127.0.0.1:18090",
    )
    with directory.held():
        write_state(directory.state, state)
        yield directory


def key(settings: Settings) -> str | None:
    return settings.api_key.get_secret_value() if settings.api_key else None


def test_api_key_temporal_and_the_scripted_model_are_found(running: DataDirectory) -> None:
    settings, stack = joined(load_settings(), running)

    assert stack is not None
    assert (settings.api_url, key(settings)) == (API, "of-workers")
    assert settings.identity_secret is not None
    assert settings.identity_secret.get_secret_value() == "shared"
    assert os.environ["TEMPORAL_ADDRESS"] == "127.0.0.1:17233"
    assert settings.providers["scripted"].base_url == "http://127.0.0.1:18090/v1"


def test_what_is_set_stays(running: DataDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_API_KEY", "mine")
    monkeypatch.setenv("TEMPORAL_ADDRESS", "temporal.example:7233")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-mine")

    settings, _ = joined(load_settings(), running)

    assert (settings.api_url, key(settings)) == (API, "mine")
    assert os.environ["TEMPORAL_ADDRESS"] == "temporal.example:7233"
    assert list(settings.providers) == ["openai"]


def test_the_stacks_key_goes_to_no_other_api(running: DataDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_API_URL", "http://api.example")

    settings, stack = joined(load_settings(), running)

    assert (stack, key(settings)) == (None, None)
    assert "TEMPORAL_ADDRESS" not in os.environ


def test_without_a_running_stack_nothing_is_taken(tmp_path: Path) -> None:
    given = load_settings()

    assert joined(given, DataDirectory(tmp_path)) == (given, None)
