"""Tools that block have threads of their own."""

import asyncio
import os
import time
from pathlib import Path

from services.tools.toolsets import Toolsets
from tests.services.tools.desks import tools_of

SAMPLES = "tests.services.tools.sample_functions"
#: More than asyncio's own pool has.
SLOW = (os.cpu_count() or 1) + 8


async def test_slow_tools_delay_neither_each_other_nor_anybody_else(tmp_path: Path) -> None:
    toolsets = Toolsets([SAMPLES], slots=SLOW + 1)
    wanted = [{"type": "python", "functions": [f"{SAMPLES}:rest"]}, {"type": "file_system"}]
    rest, *files = tools_of(toolsets.build(wanted, tmp_path))
    began = time.monotonic()
    slow = [asyncio.ensure_future(rest.call(str(number), {"seconds": 0.5})) for number in range(SLOW)]
    await asyncio.sleep(0)

    await asyncio.to_thread(int)
    await files[3].call("list", {})

    assert time.monotonic() - began < 0.4
    await asyncio.gather(*slow)
    assert time.monotonic() - began < 0.9
