import re
from pathlib import Path

import pytest

from services.scripted_model import directives
from services.scripted_model.actions import Pause, Text, ToolCall
from services.scripted_model.directives import DIRECTIVES, ToolRounds, beside, parse, words
from services.scripted_model.errors import ScriptError

GUIDE = Path(__file__).parents[3] / "docs" / "scripted-model.md"


def test_directions_come_from_all_brackets_in_their_order() -> None:
    steps = parse("First [[say a;; wait 0.5;;]] then [[say b]].")

    assert steps == [Text(("a",)), Pause(0.5), Text(("b",))]


@pytest.mark.parametrize("prompt", ["", "no directions", "[[", "[[ ]]", "[[;;]]", "a ]] b [["])
def test_a_prompt_without_directions_has_none(prompt: str) -> None:
    assert parse(prompt) == []


@pytest.mark.parametrize("arguments", ['{"a": [[1, [2]]]}', '{"a": "]];;&&{"}', '{"a": {"b": "\\"}]]"}}'])
def test_marks_inside_of_json_do_not_count(arguments: str) -> None:
    steps = parse(f"[[tool a {arguments} && b {arguments};; say x]]")

    assert steps == [ToolRounds((ToolCall("a", arguments), ToolCall("b", arguments))), Text(("x",))]


def test_braces_that_never_close_do_not_swallow_what_follows() -> None:
    steps = parse('[[tool a {"x": ;; say b]] and {')

    assert steps == [ToolRounds((ToolCall("a", '{"x":'),)), Text(("b",))]


def test_json_that_is_nested_too_deeply_is_passed_on() -> None:
    arguments = '{"a":' * 100_000

    assert parse(f"[[tool a {arguments}]]") == [ToolRounds((ToolCall("a", arguments),))]


def test_names_may_be_written_in_capitals() -> None:
    assert parse("[[SAY Hello]]") == [Text(("Hello",))]


def test_what_stands_beside_directions_is_kept() -> None:
    assert beside("one [[say a]]two[[say b]] three") == "one two three"


@pytest.mark.parametrize("text", ["", "one", " one  two\n\nthree \t", "\n"])
def test_words_join_to_the_same_text(text: str) -> None:
    assert "".join(words(text)) == text


def test_an_unknown_direction_names_the_known_ones() -> None:
    with pytest.raises(ScriptError) as raised:
        parse("[[say a;; zzzz]]")

    assert "'zzzz'" in str(raised.value)
    assert "Did you mean" not in str(raised.value)
    assert all(name in str(raised.value) for name in DIRECTIVES)


@pytest.mark.parametrize("syntax", [directive.syntax for directive in DIRECTIVES.values()])
def test_every_direction_is_documented_as_it_is_written(syntax: str) -> None:
    assert f"| `{syntax}` |" in GUIDE.read_text()
    assert f"\n{syntax} " in (directives.__doc__ or "")


def test_the_guide_s_examples_are_understood() -> None:
    examples = re.findall(r"^.*\[\[.*\]\].*$", GUIDE.read_text(), re.MULTILINE)

    assert len(examples) > 5
    assert all(parse(example) for example in examples)
