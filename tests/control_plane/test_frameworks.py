"""The frameworks file: its mistakes have places, and a running process follows its changes."""

import asyncio
import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from control_plane.frameworks import Frameworks
from control_plane.frameworks_file import read_frameworks, unknown_names
from control_plane.settings import SettingsInvalid
from runtimes.frameworks import FrameworksConfig
from runtimes.manifests.known import KNOWN
from runtimes.types import Capability

#: Seconds that a change may take to be seen.
PATIENCE = 60.0
GOOD = """
frameworks:
  discovery:
    auto_scan: false
    directories: [plugins, /opt/plugins]
    modules: ["tests.runtimes.sample_manifests:ACME"]
  default_framework: langgraph
  template_mappings:
    customer-service-bot:
      preferred: [langgraph, crewai]
      required_capabilities: [streaming, memory]
      fallback_type: conversation
  framework_specific:
    langgraph:
      max_concurrent_executions: 50
      timeout_seconds: 300
      memory_limit_mb: 1024
"""
MISTAKES = """
frameworks:
  default_framework: [langgraph]
  template_mappings:
    support-bot:
      fallback_type: chat
  framework_specific:
    langgraph:
      max_concurent_executions: 50
      timeout_seconds: "300"
      memory_limit_mb: 0
"""
TOML_MISTAKES = """
[frameworks]
default_framework = 3

[frameworks.framework_specific.langgraph]
timeout_seconds = 60
max_concurent_executions = 50
"""


def test_a_file_says_all_that_there_is_to_say(tmp_path: Path) -> None:
    config = read_frameworks(written(tmp_path / "frameworks.yaml", GOOD))

    mapping = config.template_mappings["customer-service-bot"]
    assert config.discovery.directories == (tmp_path / "plugins", Path("/opt/plugins"))
    assert config.default_framework == "langgraph"
    assert mapping.preferred == ("langgraph", "crewai")
    assert mapping.required_capabilities == {Capability.STREAMING, Capability.MEMORY}
    assert mapping.fallback_type == "conversation"
    assert config.limits("langgraph").timeout_seconds == 300


@pytest.mark.parametrize("text", ["", "frameworks:\n", "frameworks: {}\n"])
def test_an_empty_file_says_nothing(tmp_path: Path, text: str) -> None:
    assert read_frameworks(written(tmp_path / "frameworks.yaml", text)) == FrameworksConfig()


def test_every_mistake_is_told_with_its_place(tmp_path: Path) -> None:
    path = written(tmp_path / "frameworks.yaml", MISTAKES)

    told = problems(path)

    assert told == [
        f"{path}:3:3: frameworks.default_framework: Input should be a valid string.",
        f"{path}:6:7: frameworks.template_mappings.support-bot.fallback_type: 'chat':"
        " Input should be 'conversation', 'task' or 'custom'.",
        f"{path}:9:7: frameworks.framework_specific.langgraph.max_concurent_executions: there is no such key."
        " Did you mean 'max_concurrent_executions'?",
        f"{path}:10:7: frameworks.framework_specific.langgraph.timeout_seconds: '300': Input should be a valid number.",
        f"{path}:11:7: frameworks.framework_specific.langgraph.memory_limit_mb: 0:"
        " Input should be greater than or equal to 1.",
    ]


def test_toml_is_read_as_well_with_the_places_of_values(tmp_path: Path) -> None:
    path = written(tmp_path / "frameworks.toml", TOML_MISTAKES)

    assert [problem.removeprefix(f"{path}:").partition(": ")[0] for problem in problems(path)] == ["3:21", "7:28"]


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("frameworks.yaml", "frameworks:\n  default_framework: [\n", ":3:1: "),
        ("frameworks.yaml", "frameworks:\n  a: 1\n  a: 2\n", ":3:3: 'a' is there twice."),
        ("frameworks.yaml", "- frameworks\n", ":1:1: it is no mapping of keys to values."),
        ("frameworks.yaml", "framework: {}\n", ":1:1: framework: there is no such key. Did you mean 'frameworks'?"),
        ("frameworks.yaml", "frameworks:\n  discovery: 1\n", ":2:3: frameworks.discovery: it has to be a mapping"),
        ("frameworks.yaml", "frameworks:\n  a: 2026-13-45\n", ":2:6: '2026-13-45' is no timestamp: month must be in"),
        ("frameworks.yaml", "frameworks:\n  a: !!bool maybe\n", ":2:6: 'maybe' is no bool."),
        ("frameworks.yaml", "frameworks: &a\n  b: *a\n", ":1:13: its values are nested too deeply."),
        ("frameworks.yaml", "[" * 20_000, "its values are nested too deeply."),
        (
            "frameworks.yaml",
            "frameworks:\n  discovery:\n    directories: [~nobodyhere/plugins]\n",
            ":3:19: frameworks.discovery.directories.0: '~nobodyhere/plugins': nobody here has that home directory.",
        ),
        ("frameworks.toml", "frameworks = \n", "line 1"),
        ("frameworks.toml", f"frameworks = {'[' * 5000}\n", "its values are nested too deeply."),
        ("frameworks.toml", f"frameworks = {'9' * 5000}\n", "Exceeds the limit"),
        ("frameworks.ini", "", "its name ends in none of: .yaml"),
    ],
)
def test_what_cannot_be_read_is_told(tmp_path: Path, name: str, text: str, problem: str) -> None:
    assert problem in problems(written(tmp_path / name, text))[0]


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    assert "cannot be read: No such file" in problems(tmp_path / "frameworks.yaml")[0]


def test_a_name_that_nobody_knows_may_be_misspelt(tmp_path: Path) -> None:
    config = read_frameworks(written(tmp_path / "frameworks.yaml", GOOD.replace("langgraph:", "lang_graph:")))

    assert unknown_names(config, {*KNOWN, "crewai"}) == [
        "No runtime 'lang_graph' is known here. Did you mean 'langgraph'?"
    ]


def test_limits_and_plugins_are_in_force_at_once(tmp_path: Path) -> None:
    frameworks = Frameworks(written(tmp_path / "frameworks.yaml", GOOD))

    assert frameworks.registry["acme"].title == "Acme"
    assert frameworks.registry["langgraph"].slots == 50
    assert frameworks.registry["langgraph"].memory_mb == 1024


def test_a_new_version_is_read_and_a_broken_one_changes_nothing(tmp_path: Path) -> None:
    path = written(tmp_path / "frameworks.yaml", GOOD)
    frameworks = Frameworks(path)
    assert not frameworks.refresh()

    written(path, GOOD.replace("langgraph", "native"))
    assert frameworks.refresh()
    assert frameworks.config.default_framework == "native"

    written(path, MISTAKES)
    assert not frameworks.refresh()
    assert frameworks.config.default_framework == "native"

    path.unlink()
    assert not frameworks.refresh()
    assert frameworks.config.default_framework == "native"

    written(path, GOOD)
    assert frameworks.refresh()
    assert frameworks.config.default_framework == "langgraph"


async def test_a_change_that_breaks_what_it_is_told_to_does_not_end_the_watch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("control_plane.frameworks.LOOK_SECONDS", 0.01)
    path = written(tmp_path / "frameworks.yaml", GOOD)
    told = asyncio.Queue[str]()

    def changed(config: FrameworksConfig) -> None:
        told.put_nowait(config.default_framework)
        if config.default_framework == "native":
            raise OSError("no more of them")

    with capture_logs() as logs:
        watching = asyncio.create_task(Frameworks(path).watch(changed))
        for name in ("native", "crewai"):
            written(path, GOOD.replace("default_framework: langgraph", f"default_framework: {name}"))
            assert await asyncio.wait_for(told.get(), PATIENCE) == name
        watching.cancel()

    assert [each["event"] for each in logs if each["log_level"] == "error"] == [
        "frameworks file cannot be used: the last good version stays"
    ]


def test_a_broken_file_keeps_a_process_from_starting(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="there is no such key"):
        Frameworks(written(tmp_path / "frameworks.yaml", MISTAKES))


def written(path: Path, text: str) -> Path:
    """A file with a text, in place of the one before."""
    path.with_suffix(".new").write_text(text)
    os.replace(path.with_suffix(".new"), path)
    return path


def problems(path: Path) -> list[str]:
    """What is said of a file that cannot be used."""
    with pytest.raises(SettingsInvalid) as refused:
        read_frameworks(path)
    return refused.value.problems
