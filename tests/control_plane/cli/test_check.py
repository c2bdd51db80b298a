"""`holdfast runtimes check`, as a process of its own."""

import json
import subprocess
import sys
from pathlib import Path


def check(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = Path(sys.executable).parent / "holdfast"
    return subprocess.run(
        [command, "runtimes", "check", *arguments], capture_output=True, text=True, timeout=100, check=False
    )


def test_a_runtime_is_checked_without_a_stack() -> None:
    done = check("native", "--only", "plain answer", "-o", "jsonl")

    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.returncode, done.stderr) == (0, "")
    assert [result["wire"] for result in results] == ["anthropic", "openai"]
    assert {result["outcome"] for result in results} == {"passed"}


def test_a_runtime_in_which_nothing_can_be_checked_has_not_passed() -> None:
    done = check("scripted")

    assert done.returncode == 1
    assert done.stdout.splitlines()[0].split() == ["SCENARIO", "WIRE", "OUTCOME", "SECONDS", "DETAIL"]
    assert "calls no model" in done.stdout


def test_an_unknown_runtime_and_an_unknown_scenario_are_said_so() -> None:
    unknown, none = check("nativ"), check("native", "--only", "zzz")

    assert (unknown.returncode, none.returncode) == (3, 2)
    assert "Did you mean 'native'?" in unknown.stderr
    assert "plain answer" in none.stderr
