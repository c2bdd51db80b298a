"""Where settings are kept: the settings file, and a directory of secrets."""

import os
from pathlib import Path

from pydantic_settings import NestedSecretsSettingsSource, PydanticBaseSettingsSource

CONFIG_VARIABLE = "HOLDFAST_CONFIG"
CONFIG_FILE = "holdfast.toml"
#: Names a directory with one file per setting, such as Kubernetes mounts for a Secret.
SECRETS_VARIABLE = "HOLDFAST_SECRETS_DIR"


def config_file() -> Path | None:
    """The settings file: `HOLDFAST_CONFIG`, else the nearest `holdfast.toml` from here upwards."""
    if named := os.environ.get(CONFIG_VARIABLE):
        return Path(named).expanduser().absolute()
    try:
        here = Path.cwd()
    except FileNotFoundError:
        return None
    candidates = (directory / CONFIG_FILE for directory in (here, *here.parents))
    return next((path for path in candidates if path.is_file()), None)


def secret_source(plain: PydanticBaseSettingsSource) -> PydanticBaseSettingsSource:
    """Settings from the directory of secrets; `plain` has what is known of their model."""
    return NestedSecretsSettingsSource(
        plain,
        secrets_dir=os.environ.get(SECRETS_VARIABLE) or None,
        secrets_prefix="",
        secrets_nested_delimiter="__",
    )


def secret_files() -> list[Path]:
    """The files; Kubernetes keeps their earlier versions beside them, with two dots before their names."""
    named = os.environ.get(SECRETS_VARIABLE)
    found = Path(named).expanduser().iterdir() if named else ()
    return sorted(path for path in found if not path.name.startswith("."))


def secret_file(location: tuple[int | str, ...]) -> Path | None:
    """The file of secrets that says a setting, if there is one."""
    name = "__".join(str(part) for part in location)
    return next((path for path in secret_files() if path.name.lower() in (name, str(location[0]))), None)
