"""How many turns a worker takes at once."""

from pathlib import Path

import psutil
import pytest

from control_plane.settings import Settings
from control_plane.worker.slots import Capacity, available_memory, capacity_of, memory_limit
from runtimes.manifests.claude_code import CLAUDE_CODE
from runtimes.manifests.native import NATIVE

GIGABYTE = 10**9


@pytest.mark.parametrize(
    ("free", "claude", "native"), [(64 * GIGABYTE, 8, 100), (GIGABYTE, 3, 80), (GIGABYTE // 10, 1, 8)]
)
def test_it_takes_what_its_memory_holds(free: int, claude: int, native: int) -> None:
    capacity = capacity_of(Settings(), [CLAUDE_CODE, NATIVE], free)

    assert capacity.turns == {"claude_code": claude, "native": native}
    assert (capacity.most, capacity.is_uniform) == (native, False)


def test_a_setting_goes_before_it() -> None:
    capacity = capacity_of(Settings(worker_slots=50), [CLAUDE_CODE, NATIVE], GIGABYTE)

    assert capacity.turns == {"claude_code": 50, "native": 50}
    assert capacity.is_uniform


@pytest.mark.parametrize(
    ("running", "room"),
    [
        ([], 8),
        (["claude_code"] * 3, 5),
        (["claude_code"] * 8, 0),
        (["native"] * 50, 4),
        (["native"] * 87 + ["claude_code"], 0),
        (["unheard_of"] * 8, 0),
    ],
)
def test_there_is_room_for_a_turn_of_any_runtime(running: list[str], room: int) -> None:
    capacity = Capacity({"claude_code": 8, "native": 100})

    assert capacity.room(capacity.taken(running)) == room


def test_turns_that_are_alike_are_counted() -> None:
    capacity = Capacity({"native": 100})

    assert [capacity.room(capacity.taken(["native"] * count)) for count in range(101)] == list(range(100, -1, -1))


def test_a_container_has_what_its_limit_leaves(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("300000000\n")
    (tmp_path / "memory.current").write_text("100000000\n")

    assert available_memory(tmp_path) == min(200_000_000, psutil.virtual_memory().available)
    assert memory_limit(tmp_path) == 300_000_000


def test_files_that_the_kernel_keeps_at_hand_leave_a_container_its_memory(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("300000000\n")
    (tmp_path / "memory.current").write_text("280000000\n")
    (tmp_path / "memory.stat").write_text("anon 90000000\nfile 190000000\ninactive_file 180000000\n")

    assert available_memory(tmp_path) == min(200_000_000, psutil.virtual_memory().available)


def test_a_container_without_a_limit_has_what_the_machine_has(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("100000000\n")

    assert available_memory(tmp_path) > 300_000_000
    assert memory_limit(tmp_path) == psutil.virtual_memory().total
