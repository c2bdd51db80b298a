"""The origin of an adapter's exception, in its own frames."""

import sys
import traceback
from pathlib import Path
from types import TracebackType

from runtimes.manifests.manifest import RuntimeManifest

#: Frames of a trace: what lies above the adapter says nothing about it.
_FRAMES = 12


def trace_of(error: BaseException, manifest: RuntimeManifest) -> str:
    """The trace of an error from its adapter's first frame on; the innermost frames where the adapter has none."""
    own = _own_frames(error.__traceback__, _directory(manifest)) or error.__traceback__
    return "".join(traceback.format_exception(type(error), error, own, limit=-_FRAMES)).rstrip()


def origin_of(error: BaseException) -> BaseException:
    """The error that was first: those that came out of it say it in our words."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _directory(manifest: RuntimeManifest) -> Path | None:
    """Find the directory of the adapter's modules."""
    module = sys.modules.get(manifest.entry.partition(":")[0])
    file = getattr(module, "__file__", None)
    return Path(file).parent if file else None


def _own_frames(trace: TracebackType | None, directory: Path | None) -> TracebackType | None:
    while trace is not None and directory not in Path(trace.tb_frame.f_code.co_filename).parents:
        trace = trace.tb_next
    return trace
