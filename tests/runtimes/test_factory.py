"""Runtimes by name."""

import os
import subprocess
import sys

import pytest

from runtimes.errors import RuntimeNotInstalled, RuntimeUnknown
from runtimes.factory import RuntimeFactory
from runtimes.manifests.default import DEFAULT
from runtimes.manifests.known import KNOWN
from runtimes.manifests.scripted import SCRIPTED
from tests.environments import ELSEWHERE


def test_every_execution_gets_a_fresh_runtime() -> None:
    factory = RuntimeFactory()

    first, second = factory.create_runtime("scripted"), factory.create_runtime("scripted")

    assert first is not second
    assert first.get_runtime_type() == "scripted"


def test_an_unknown_name_is_refused_with_a_guess() -> None:
    with pytest.raises(RuntimeUnknown, match="Did you mean 'default'"):
        RuntimeFactory().create_runtime("defualt")


def test_a_missing_framework_is_named_with_what_installs_it() -> None:
    broken = DEFAULT.model_copy(
        update={"name": "broken", "entry": "no_such_framework.adapter:Adapter", "extra": "acme"}
    )

    with pytest.raises(RuntimeNotInstalled) as raised:
        RuntimeFactory({"broken": broken}).create_runtime("broken")

    assert "no_such_framework" in raised.value.message
    assert "uv add 'holdfast[acme]'" in raised.value.hint
    assert "pip install 'holdfast[acme]'" in raised.value.hint


def test_switches_are_set_before_the_framework_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOLDFAST_TEST_SWITCH", raising=False)
    switched = SCRIPTED.model_copy(update={"environment": {"HOLDFAST_TEST_SWITCH": "off"}})

    RuntimeFactory({"scripted": switched}).load("scripted")

    assert os.environ["HOLDFAST_TEST_SWITCH"] == "off"


def test_installed_runtimes_are_told_with_versions() -> None:
    absent = DEFAULT.model_copy(update={"name": "absent", "package": "no-such-distribution"})

    installed = RuntimeFactory({**KNOWN, "absent": absent}).installed()

    assert [runtime.name for runtime in installed] == [name for name in KNOWN if name not in ELSEWHERE]
    assert installed[0].title == "Agno"
    assert installed[0].version.startswith("3.1.")
    assert installed[0].capabilities == ["hitl", "mcp", "memory", "resume", "streaming", "structured_output", "tools"]


def test_supported_are_also_those_that_are_not_installed() -> None:
    absent = DEFAULT.model_copy(update={"name": "absent", "package": "no-such-distribution"})

    assert RuntimeFactory({**KNOWN, "absent": absent}).supported() == sorted(["absent", *KNOWN])


def test_versions_that_an_adapter_was_not_made_for_are_told() -> None:
    older = SCRIPTED.model_copy(update={"name": "older", "package": "pytest", "versions": "<2"})

    (doubt,) = RuntimeFactory({**KNOWN, "older": older}).doubts("older")

    assert "the adapter was made for <2." in doubt
    assert RuntimeFactory().doubts("default") == []


def test_a_runtime_is_not_loaded_under_a_python_that_it_was_not_made_for() -> None:
    older = SCRIPTED.model_copy(update={"name": "older", "python": "<3.11"})

    with pytest.raises(RuntimeNotInstalled, match=r"it was made for <3\.11\.") as raised:
        RuntimeFactory({"older": older}).load("older")

    assert raised.value.hint == "Run a worker for it under a Python that is <3.11."


def test_nothing_but_the_adapter_imports_its_framework() -> None:
    code = (
        "import sys; from runtimes.factory import RuntimeFactory;"
        "factory = RuntimeFactory(); factory.installed(); factory.create_runtime('scripted');"
        "print({'agno', 'anthropic', 'openai', 'pydantic_ai'} & set(sys.modules))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("configuration", "problem"),
    [
        ({"max_turns": 3}, None),
        ({"max_turn": 3}, "Did you mean 'max_turns'?"),
        ({"max_turns": "3"}, "'max_turns' is wrong"),
        ({"max_turns": True}, 'true is not of type "integer"'),
        ({"max_turns": 0}, "minimum of 1"),
    ],
)
def test_settings_of_a_runtime_are_checked(configuration: dict[str, object], problem: str | None) -> None:
    problems = DEFAULT.problems(configuration)

    assert problems == [] if problem is None else problem in problems[0]


def test_a_runtime_checks_the_settings_inside_an_agents_configuration() -> None:
    runtime = RuntimeFactory().create_runtime("scripted")

    assert runtime.validate_configuration({"temperature": 1.0}) == []
    assert len(runtime.validate_configuration({"runtime_config": {"max_turns": 1}})) == 1
