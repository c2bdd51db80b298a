"""How many turns a worker takes at once."""

from pathlib import Path

import psutil
import pytest

from control_plane.settings import Settings
from control_plane.worker.slots import available_memory, turn_slots
from runtimes.manifests.claude_code import CLAUDE_CODE
from runtimes.manifests.native import NATIVE

GIGABYTE = 10**9


@pytest.mark.parametrize(
    ("free", "claude", "native"), [(64 * GIGABYTE, 8, 100), (GIGABYTE, 3, 80), (GIGABYTE // 10, 1, 8)]
)
def test_it_takes_what_its_memory_holds(free: int, claude: int, native: int) -> None:
    settings = Settings()

    assert turn_slots(settings, [CLAUDE_CODE], free) == claude
    assert turn_slots(settings, [NATIVE], free) == native
    assert turn_slots(settings, [NATIVE, CLAUDE_CODE], free) == claude


def test_a_setting_goes_before_it() -> None:
    assert turn_slots(Settings(worker_slots=50), [CLAUDE_CODE], GIGABYTE) == 50


def test_a_container_has_what_its_limit_leaves(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("300000000\n")
    (tmp_path / "memory.current").write_text("100000000\n")

    assert available_memory(tmp_path) == min(200_000_000, psutil.virtual_memory().available)


def test_a_container_without_a_limit_has_what_the_machine_has(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("100000000\n")

    assert available_memory(tmp_path) > 300_000_000
