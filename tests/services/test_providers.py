"""From a model id to an endpoint."""

import pytest

from runtimes.errors import CredentialMissing, ModelUnknown
from runtimes.types import ModelEndpoint, Wire
from services.providers import Provider, ProviderRegistry

OPENAI = Provider("openai", "https://api.openai.com/v1", "sk-1")
ANTHROPIC = Provider("anthropic", "https://api.anthropic.com", "sk-2", Wire.ANTHROPIC)
LOCAL = Provider("local", "http://127.0.0.1:8000/v1", models=("llama-4", "qwen"))
REGISTRY = ProviderRegistry([OPENAI, ANTHROPIC, LOCAL])


def test_a_model_may_be_written_with_its_provider() -> None:
    assert REGISTRY.resolve("openai/some/model") == ModelEndpoint(
        "https://api.openai.com/v1", "sk-1", Wire.OPENAI, "some/model", "openai"
    )


@pytest.mark.parametrize(
    ("model_id", "provider"),
    [
        ("gpt-5.4-mini", "openai"),
        ("o3", "openai"),
        ("o4-mini", "openai"),
        ("o1-preview", "openai"),
        ("chatgpt-4o-latest", "openai"),
        ("claude-sonnet-5", "anthropic"),
        ("llama-4", "local"),
    ],
)
def test_a_known_model_needs_no_provider(model_id: str, provider: str) -> None:
    endpoint = REGISTRY.resolve(model_id)

    assert (endpoint.provider, endpoint.model) == (provider, model_id)


def test_a_provider_on_this_machine_needs_no_key() -> None:
    assert REGISTRY.resolve("local/qwen").api_key == "none"


@pytest.mark.parametrize("url", ["http://localhost:1/v1", "http://[::1]:1/v1", "http://127.3.2.1"])
def test_this_machine_has_many_names(url: str) -> None:
    assert not Provider("x", url).needs_key


@pytest.mark.parametrize("url", ["https://api.openai.com/v1", "http://127.0.0.1.evil.example/v1", "http://10.0.0.1"])
def test_all_others_need_a_key(url: str) -> None:
    assert Provider("x", url).needs_key


@pytest.mark.parametrize("model_id", ["openai/gpt-5", "gpt-5"])
def test_a_missing_key_is_told_with_the_remedy(model_id: str) -> None:
    registry = ProviderRegistry([Provider("openai", "https://api.openai.com/v1")])

    with pytest.raises(CredentialMissing) as raised:
        registry.resolve(model_id)

    assert raised.value.hint == "Set OPENAI_API_KEY on the worker."


@pytest.mark.parametrize("model_id", ["claude-sonnet-5", "anthropic/claude-sonnet-5", "anthropic/whatever"])
def test_a_hosted_model_without_its_provider_is_told_with_the_remedy(model_id: str) -> None:
    anth = Provider("anth", "http://127.0.0.1:8000/v1")

    with pytest.raises(CredentialMissing) as raised:
        ProviderRegistry([LOCAL, anth]).resolve(model_id)

    assert raised.value.hint == "Set ANTHROPIC_API_KEY on the worker."


def test_other_providers_are_configured_by_our_own_variables() -> None:
    with pytest.raises(CredentialMissing) as raised:
        ProviderRegistry([Provider("acme", "https://acme.example/v1")]).resolve("acme/m")

    assert raised.value.hint == "Set HOLDFAST_PROVIDERS__ACME__API_KEY on the worker."


@pytest.mark.parametrize(
    ("model_id", "guess"),
    [("opnai/gpt-5", "openai/gpt-5"), ("local/qwn", "local/qwen"), ("lama-4", "llama-4")],
)
def test_an_unknown_model_is_refused_with_a_guess(model_id: str, guess: str) -> None:
    with pytest.raises(ModelUnknown) as raised:
        REGISTRY.resolve(model_id)

    assert f"Did you mean '{guess}'?" in raised.value.message
    assert "Known providers: anthropic, local, openai." in raised.value.message


@pytest.mark.parametrize("model_id", ["", "/", "openai/", "/x", "omega"])
def test_a_senseless_model_is_unknown(model_id: str) -> None:
    with pytest.raises(ModelUnknown):
        REGISTRY.resolve(model_id)


@pytest.mark.parametrize(
    ("model_id", "hint"),
    [
        ("qwn", "Write the agent's model_id as provider/model."),
        ("nowhere/x", "configure this one on the worker: HOLDFAST_PROVIDERS__NAME__BASE_URL."),
        ("local/gemma", "Provider 'local' has these models: llama-4, qwen."),
    ],
)
def test_the_remedy_fits_what_was_written(model_id: str, hint: str) -> None:
    with pytest.raises(ModelUnknown) as raised:
        REGISTRY.resolve(model_id)

    assert raised.value.hint.endswith(hint)


def test_a_provider_of_another_name_is_no_guess() -> None:
    with pytest.raises(ModelUnknown) as raised:
        ProviderRegistry([ANTHROPIC]).resolve("scripted/a-very-long-name-of-a-model")

    assert "Did you mean" not in raised.value.message


def test_a_listed_model_may_have_the_name_of_a_hosted_provider_in_it() -> None:
    router = Provider("router", "http://127.0.0.1:8000/v1", models=("openai/gpt-oss-20b",))

    assert ProviderRegistry([router]).resolve("openai/gpt-oss-20b").provider == "router"


def test_what_is_announced_holds_no_keys_and_no_addresses() -> None:
    registry = ProviderRegistry([OPENAI, LOCAL, Provider("acme", "https://acme.example/v1")])

    assert {name: one.model_dump() for name, one in registry.announce().items()} == {
        "acme": {"ready": False, "models": []},
        "local": {"ready": True, "models": ["llama-4", "qwen"]},
        "openai": {"ready": True, "models": []},
    }


def test_no_key_is_ever_printed() -> None:
    assert "sk-1" not in repr(OPENAI)
    assert "sk-1" not in repr(REGISTRY.resolve("gpt-5"))
