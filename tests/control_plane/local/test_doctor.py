"""What `holdfast doctor` says of the settings of this machine."""

from pathlib import Path

import pytest

from control_plane.local.checks import Check, CheckStatus
from control_plane.local.directory import DataDirectory
from control_plane.local.doctor import examine
from control_plane.settings_loading import load_settings


def _plugins(tmp_path: Path, frameworks: str) -> Check:
    file = tmp_path / "frameworks.yaml"
    file.write_text(frameworks)
    checks = examine(load_settings(frameworks_file=file), DataDirectory(tmp_path))
    return next(check for check in checks if check.id == "plugins")


def test_plugins_are_told_and_broken_ones_are_a_warning(tmp_path: Path) -> None:
    fine = _plugins(tmp_path, "frameworks: {discovery: {modules: ['tests.runtimes.sample_manifests:ACME']}}")
    broken = _plugins(tmp_path, "frameworks: {discovery: {modules: ['tests.runtimes.sample_manifests:TAKEN']}}")
    unusable = _plugins(tmp_path, "frameworks: {discover: {}}")

    assert (fine.status, fine.detail) == (CheckStatus.OK, "acme")
    assert broken.status is CheckStatus.WARN
    assert "The name 'default' is taken: built in." in broken.detail
    assert unusable.status is CheckStatus.FAIL
    assert "frameworks.yaml:1:14" in unusable.detail


def _providers(tmp_path: Path, **providers: dict[str, str]) -> Check:
    settings = load_settings(providers=providers)
    return next(check for check in examine(settings, DataDirectory(tmp_path)) if check.id == "providers")


@pytest.mark.parametrize(
    ("provider", "expected"),
    [
        ({"base_url": "http://127.0.0.1:11434/v1"}, (CheckStatus.OK, "local (key not needed)", "")),
        ({"base_url": "https://models.example/v1", "api_key": "k"}, (CheckStatus.OK, "local (key set)", "")),
        (
            {"base_url": "https://models.example/v1"},
            (CheckStatus.WARN, "local (key missing)", "Set HOLDFAST_PROVIDERS__LOCAL__API_KEY."),
        ),
    ],
)
def test_a_key_is_missed_only_where_one_is_needed(
    tmp_path: Path, provider: dict[str, str], expected: tuple[CheckStatus, str, str]
) -> None:
    check = _providers(tmp_path, local=provider)

    assert (check.status, check.detail, check.fix) == expected
