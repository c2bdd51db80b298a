"""Settings: where they come from, and what is said about bad ones."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from control_plane.settings import Settings, SettingsInvalid
from control_plane.settings_loading import load_settings


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_BASE_URL", "HOLDFAST_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def _problems() -> list[str]:
    with pytest.raises(SettingsInvalid) as raised:
        load_settings()
    return raised.value.problems


def test_an_argument_wins_over_the_environment_and_that_over_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "holdfast.toml").write_text("api_port = 1\nworker_slots = 2\ndatabase_pool_size = 3\n")
    monkeypatch.setenv("HOLDFAST_API_PORT", "4")
    monkeypatch.setenv("HOLDFAST_WORKER_SLOTS", "5")

    settings = load_settings(api_port=6)

    assert (settings.api_port, settings.worker_slots, settings.database_pool_size) == (6, 5, 3)


def test_the_file_is_found_from_a_directory_below(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "holdfast.toml").write_text("worker_slots = 7\n")
    (tmp_path / "src").mkdir()
    monkeypatch.chdir(tmp_path / "src")

    assert load_settings().worker_slots == 7


def test_lists_may_be_words_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_ALLOWED_HOSTS", "one, two")
    monkeypatch.setenv("HOLDFAST_PYTHON_TOOL_MODULES", '["a", "b"]')

    settings = load_settings()

    assert (settings.allowed_hosts, settings.python_tool_modules) == (["one", "two"], ["a", "b"])


def test_a_provider_may_come_from_the_variables_of_its_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-1")

    provider = load_settings().providers["anthropic"]

    assert (provider.base_url, provider.wire) == ("https://api.anthropic.com", "anthropic")
    assert provider.api_key is not None
    assert provider.api_key.get_secret_value() == "sk-1"


def test_a_provider_is_put_together_from_file_and_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "holdfast.toml").write_text('[providers.local]\nbase_url = "http://127.0.0.1:1/v1/"\nmodels = ["m"]\n')
    monkeypatch.setenv("HOLDFAST_PROVIDERS__LOCAL__API_KEY", "sk-2")

    provider = load_settings().providers["local"]

    assert (provider.base_url, provider.models) == ("http://127.0.0.1:1/v1", ["m"])
    assert provider.api_key is not None


def test_a_bad_value_is_named_with_its_origin_and_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_API_PORT", "high")

    assert _problems() == [
        "api_port: 'high': Input should be a valid integer, unable to parse string as an integer"
        " (from the environment variable HOLDFAST_API_PORT). Correct the value or remove it."
    ]


@pytest.mark.parametrize("value", ["inf", "nan", "1e9", "-1"])
@pytest.mark.parametrize("name", [name for name in Settings.model_fields if name.endswith("_seconds")])
def test_seconds_that_no_timer_holds_are_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"HOLDFAST_{name.upper()}", value)

    with pytest.raises(SettingsInvalid, match=f"^{name}: .*from the environment variable"):
        load_settings()


def test_an_unknown_variable_is_refused_with_a_suggestion(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_API_PROT", "1")

    assert _problems() == ["HOLDFAST_API_PROT: there is no such setting. Did you mean 'HOLDFAST_API_PORT'? Unset it."]


def test_an_unknown_key_in_the_file_is_refused_with_a_suggestion(tmp_path: Path) -> None:
    (tmp_path / "holdfast.toml").write_text("worker_slot = 1\n")

    assert _problems() == [
        f"worker_slot: there is no such setting (from {tmp_path}/holdfast.toml). Did you mean 'worker_slots'?"
    ]


def test_an_unknown_key_of_a_provider_is_refused_with_a_suggestion(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_PROVIDERS__X__BASE_URL", "http://x")
    monkeypatch.setenv("HOLDFAST_PROVIDERS__X__MODEL", "y")

    (problem,) = _problems()

    assert problem.endswith("Did you mean 'models'?")


def test_a_secret_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_PROVIDERS", '{"x": "sk-secret"}')

    problems = "".join(_problems())
    with pytest.raises(ValidationError) as raised:
        Settings()

    assert "sk-secret" not in problems
    assert "sk-secret" not in str(raised.value)


def test_a_file_that_is_no_toml_or_not_there_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "holdfast.toml").write_text("api_port = \n")
    (broken,) = _problems()
    monkeypatch.setenv("HOLDFAST_CONFIG", str(tmp_path / "none.toml"))
    (missing,) = _problems()

    assert "holdfast.toml is not valid TOML" in broken
    assert missing == f"HOLDFAST_CONFIG: {tmp_path}/none.toml does not exist. Create the file or unset the variable."


def _secret(directory: Path, name: str, value: str) -> None:
    """As Kubernetes mounts it."""
    (directory / "..data").mkdir(parents=True, exist_ok=True)
    (directory / "..data" / name).write_text(value)
    (directory / name).symlink_to(f"..data/{name}")


def test_secrets_come_from_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _secret(tmp_path / "secrets", "database_url", "postgresql://db/x\n")
    _secret(tmp_path / "secrets", "providers__openai__api_key", "sk-3")
    monkeypatch.setenv("HOLDFAST_SECRETS_DIR", str(tmp_path / "secrets"))
    monkeypatch.setenv("HOLDFAST_PROVIDERS__OPENAI__BASE_URL", "https://models.example/v1")

    settings = load_settings()

    key = settings.providers["openai"].api_key
    assert settings.database_url is not None
    assert settings.database_url.get_secret_value() == "postgresql://db/x"
    assert key is not None
    assert key.get_secret_value() == "sk-3"


def test_the_environment_goes_before_a_file_of_a_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _secret(tmp_path / "secrets", "log_level", "debug")
    (tmp_path / "holdfast.toml").write_text('log_level = "error"\n')
    monkeypatch.setenv("HOLDFAST_SECRETS_DIR", str(tmp_path / "secrets"))

    from_secrets = load_settings().log_level
    monkeypatch.setenv("HOLDFAST_LOG_LEVEL", "warning")

    assert (from_secrets, load_settings().log_level) == ("debug", "warning")


def test_a_file_that_is_no_secret_is_refused_with_a_suggestion(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _secret(tmp_path / "secrets", "databse_url", "postgresql://db/x")
    _secret(tmp_path / "secrets", "api_port", "high")
    monkeypatch.setenv("HOLDFAST_SECRETS_DIR", str(tmp_path / "secrets"))

    (unknown,) = _problems()
    (tmp_path / "secrets" / "databse_url").unlink()
    (bad,) = _problems()
    monkeypatch.setenv("HOLDFAST_SECRETS_DIR", str(tmp_path / "none"))
    (missing,) = _problems()

    assert unknown.endswith("/databse_url: there is no such setting. Did you mean 'database_url'? Remove the file.")
    assert f"(from {tmp_path}/secrets/api_port)" in bad
    assert missing.endswith("/none does not exist. Create the directory or unset the variable.")


def test_what_kubernetes_sets_for_a_service_of_our_name_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("HOLDFAST_PORT_8080_TCP", "tcp://10.0.0.1:8080")

    assert load_settings().api_port == 8080


def test_a_version_comes_from_the_variables_of_temporals_worker_controller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPORAL_DEPLOYMENT_NAME", "agents/workflows")
    monkeypatch.setenv("TEMPORAL_WORKER_BUILD_ID", "7c2e9b1")
    controlled = load_settings()
    monkeypatch.setenv("HOLDFAST_BUILD_ID", "mine")

    assert (controlled.deployment_name, controlled.build_id) == ("agents/workflows", "7c2e9b1")
    assert load_settings().build_id == "mine"


def test_a_deployment_name_that_temporal_does_not_take_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_DEPLOYMENT_NAME", "holdfast.default")

    (problem,) = _problems()

    assert "'holdfast.default'" in problem
    assert "HOLDFAST_DEPLOYMENT_NAME" in problem
