"""The documents say what is so: their commands exist, their scripts run, their tables are complete."""

import os
import re
import shutil
import sys
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
import typer

from control_plane.cli.command_line import app
from control_plane.documents import read_yaml
from control_plane.events.reader import TERMINAL_EVENTS
from control_plane.frameworks_file import FrameworksFile
from runtimes.frameworks import Discovery, FrameworkLimits, FrameworksConfig, TemplateMapping
from tests.architecture.source import ROOT
from tests.docs.markdown import Document, documents
from tests.docs.shell import run_script
from tests.stack import Stack

DOCUMENTS = documents()
RUNNABLE = [document for document in DOCUMENTS if document.script]
LINK = re.compile(r"\]\((?!https?://)([^)#]+)")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.path)
def test_commands_in_the_documents_exist(document: Document) -> None:
    problems = [problem for words in document.commands() for problem in misfits(words)]

    assert problems == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.path)
def test_links_lead_somewhere(document: Document) -> None:
    targets = [(ROOT / document.path).parent / target for target in LINK.findall(document.text)]

    assert [str(target) for target in targets if not target.exists()] == []


@pytest.mark.parametrize("document", RUNNABLE, ids=lambda document: document.path)
@pytest.mark.skipif(shutil.which("curl") is None, reason="the documents' scripts use curl")
def test_the_documents_scripts_run(document: Document, stack: Stack, tmp_path: Path) -> None:
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "HOLDFAST_API_URL": stack.api_url,
        "HOLDFAST_API_KEY": stack.api_key,
        "HOLDFAST_PROVIDERS__SCRIPTED__BASE_URL": f"{stack.model_url}/v1",
        "TEMPORAL_ADDRESS": stack.temporal_address,
        "NO_PROXY": "127.0.0.1",
    }

    run_script(document.script, environment, tmp_path)


def test_the_frameworks_file_is_documented_key_by_key() -> None:
    page = Document("docs/frameworks.md")
    example = FrameworksFile.model_validate(read_yaml(page.blocks("yaml")).values)
    parts = {"discovery": Discovery, "template_mappings": TemplateMapping, "framework_specific": FrameworkLimits}
    keys = {name for part in (FrameworksConfig, *parts.values()) for name in part.model_fields}

    assert example.frameworks.limits("langgraph").timeout_seconds == 300
    assert [key for key in keys if key not in page.text] == []


def test_every_end_of_an_execution_is_documented() -> None:
    documented = Document("docs/events.md").first_column("Types")

    assert set(documented) >= TERMINAL_EVENTS


def misfits(words: list[str]) -> list[str]:
    """What is wrong with a command line: no such command, or no such option. Capitals stand for any command."""
    command: Any = typer.main.get_command(app)
    names = list(takewhile(lambda word: not word.startswith("-"), words))
    while names and hasattr(command, "get_command"):
        name = names.pop(0)
        command = command.get_command(None, name)
        if command is None:
            return [] if name.isupper() else [f"no such command: {name} in {words}"]
    return [f"no such option: {option} in {words}" for option in sorted(options_in(words) - options_of(command))]


def options_in(words: list[str]) -> set[str]:
    """The options that a command line gives."""
    return {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}


def options_of(command: Any) -> set[str]:
    """The options that a command takes."""
    return {option for parameter in command.params for option in parameter.opts} | {"--help"}
