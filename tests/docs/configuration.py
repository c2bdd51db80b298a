"""The configuration reference, out of the settings themselves: `make docs` writes docs/configuration.md."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from control_plane.settings import KNOWN_PROVIDERS, PREFIX, Process, ProviderSettings, ReadBy, Settings
from tests.architecture.source import ROOT

PAGE = ROOT / "docs" / "configuration.md"
#: Defaults that depend on the machine or on another setting.
DEFAULTS = {"data_dir": "`~/.local/share/holdfast`", "workspace_dir": "`workspaces` in `data_dir`"}
KINDS = {"array": "list", "string": "text", "path": "path", "password": "secret"}
BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤"}
REQUIRED = "(needed)"
PROCESSES = {
    Process.API: "`holdfast api`",
    Process.WORKFLOWS: "`holdfast worker --workflows`",
    Process.POOL: "`holdfast worker --pool NAME`",
    Process.MIGRATE: "`holdfast migrate`",
    Process.COMMAND: "the command, and with it `holdfast up`, which hands its settings to the processes that it starts",
}
TEXT = """\
# Configuration

<!-- Written by `make docs` out of control_plane/settings.py: change it there. -->

A setting comes from an option, else from the environment, else from a file in the directory that \
`HOLDFAST_SECRETS_DIR` names, else from `holdfast.toml` here or in a directory above, else it has its default. \
In the environment it has the name below; in `holdfast.toml`, and as a file of secrets, the same in lower case \
without `HOLDFAST_`. Lists are words with commas between, in TOML lists. Sizes are bytes, times seconds. An \
unknown name or a bad value keeps a process from starting, and the message says where it is set. `holdfast \
config list` shows what each one is here, `holdfast config explain api_url` where that comes from.

## Settings

{settings}

Read by:

{processes}

## Providers

`NAME` is the provider's, in upper case; in `holdfast.toml` a table `[providers.name]`.

{providers}

These add a provider under its usual name, and do so without `HOLDFAST_`:

{known}

## Others

| variable | what it is |
|---|---|
| `HOLDFAST_CONFIG` | the settings file, in place of `holdfast.toml` |
| `HOLDFAST_SECRETS_DIR` | a directory with a file per setting, such as `database_url` or `providers__openai__api_key` |
| `TEMPORAL_ADDRESS`, `TEMPORAL_NAMESPACE`, `TEMPORAL_API_KEY`, `TEMPORAL_TLS`, … | where Temporal is, as all its \
tools read it; also from `temporal.toml`. API and workers |
| `TEMPORAL_DEPLOYMENT_NAME`, `TEMPORAL_WORKER_BUILD_ID` | `deployment_name` and `build_id`, as Temporal's worker \
controller sets them |

Runtimes, their limits and preferences are in the [frameworks file](frameworks.md).
"""


def reference() -> str:
    """The page as it should be."""
    return TEXT.format(
        settings=_table(("variable", "type", "default", "read by", "what it is"), _settings()),
        processes="\n".join(f"- `{process}`: {where}" for process, where in PROCESSES.items()),
        providers=_table(("variable", "type", "default", "what it is"), _providers()),
        known=_table(
            ("provider", "key", "address"),
            ((f"`{each.name}`", f"`{each.key_variable}`", f"`{each.url_variable}`") for each in KNOWN_PROVIDERS),
        ),
    )


def _settings() -> Iterator[tuple[str, ...]]:
    for name, (kind, default, description) in _fields(Settings):
        if name != "providers":
            yield f"`{PREFIX}{name.upper()}`", kind, DEFAULTS.get(name, default), _readers(name), description


def _providers() -> Iterator[tuple[str, ...]]:
    for name, told in _fields(ProviderSettings):
        yield f"`{PREFIX}PROVIDERS__NAME__{name.upper()}`", *told


def _readers(name: str) -> str:
    return ", ".join(f"`{process}`" for process in readers(name))


def readers(name: str) -> tuple[Process, ...]:
    """Which processes read a setting, as it says itself."""
    marks = [mark for mark in Settings.model_fields[name].metadata if isinstance(mark, ReadBy)]
    assert len(marks) == 1, f"{name} does not say which processes read it: Annotated[…, ReadBy(…)]"
    return marks[0].processes


def _fields(model: type[BaseModel]) -> Iterator[tuple[str, tuple[str, str, str]]]:
    """Name, with type, default and description."""
    schema = model.model_json_schema()
    for name, said in schema["properties"].items():
        assert "description" in said, f"{name} says not what it is: write it below the field"
        default = said.get("default", _made(model, name))
        yield name, (_type(said, schema["$defs"]), _shown(default), " ".join(said["description"].split()))


def _made(model: type[BaseModel], name: str) -> object:
    """What a default's factory makes, if it needs nothing."""
    field = model.model_fields[name]
    if field.is_required():
        return REQUIRED
    return field.get_default(call_default_factory=not field.default_factory_takes_validated_data) or None


def _type(said: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    if "anyOf" in said:
        return _type(said["anyOf"][0], definitions)
    if "$ref" in said:
        return _type(definitions[said["$ref"].rpartition("/")[2]], definitions)
    if "enum" in said:
        return ", ".join(f"`{value}`" for value in said["enum"])
    kind = KINDS.get(said.get("format", said["type"]), str(said["type"]))
    return " ".join([kind, *(f"{sign} {said[bound]}" for bound, sign in BOUNDS.items() if bound in said)])


def _shown(default: object) -> str:
    if isinstance(default, list):
        return f"`{','.join(map(str, default))}`"  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if default in {None, "", REQUIRED}:
        return str(default or "")
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


def _table(heads: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [_line(heads), "|---" * len(heads) + "|", *map(_line, rows)]
    return "\n".join(lines)


def _line(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |".replace("|  |", "| |")


if __name__ == "__main__":
    PAGE.write_text(reference())
