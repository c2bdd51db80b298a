"""What each process of the local stack gets to know."""

from pathlib import Path

from pydantic import SecretStr

from control_plane.local.environment import base_environment, provider_environment, worker_secrets_environment
from control_plane.settings import ProviderSettings, Settings

AROUND = {
    "PATH": "/bin",
    "OPENAI_API_KEY": "sk-1",
    "ANTHROPIC_BASE_URL": "http://elsewhere",
    "HOLDFAST_API_KEY": "hf_other",
    "TEMPORAL_ADDRESS": "cloud:7233",
    "PGHOST": "elsewhere",
}


def test_no_process_gets_keys_or_the_way_to_another_server(tmp_path: Path) -> None:
    environment = base_environment(Settings(data_dir=tmp_path, worker_slots=7), AROUND)

    assert not set(AROUND) & set(environment) - {"PATH"}
    assert "sk-1" not in "".join(environment.values())
    assert environment["HOLDFAST_WORKER_SLOTS"] == "7"
    assert environment["HOLDFAST_DATA_DIR"] == str(tmp_path)


def test_secrets_of_workers_are_for_those_that_run_turns(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, worker_secrets={"TICKETS": SecretStr("hidden")}, worker_secrets_for=["*"])

    environment = base_environment(settings, AROUND)

    assert "hidden" not in "".join(environment.values())
    assert environment["HOLDFAST_WORKER_SECRETS_FOR"] == '["*"]'
    assert worker_secrets_environment(settings) == {"HOLDFAST_WORKER_SECRETS": '{"TICKETS": "hidden"}'}


def test_a_proxy_never_stands_between_our_processes(tmp_path: Path) -> None:
    environment = base_environment(Settings(data_dir=tmp_path), {"NO_PROXY": "internal"})

    assert environment["NO_PROXY"] == "internal,127.0.0.1,localhost"


def test_a_worker_reads_the_providers_as_they_were_given() -> None:
    given = ProviderSettings(base_url="http://x/v1", api_key=SecretStr("sk-2"), models=["m"])

    (text,) = provider_environment({"my-vllm": given}).values()

    assert ProviderSettings.model_validate_json(text.removeprefix('{"my-vllm": ').removesuffix("}")) == given
