"""The runtimes that Holdfast ships, known without their frameworks."""

from collections.abc import Mapping
from difflib import get_close_matches

from runtimes.errors import RuntimeUnknown
from runtimes.manifests.claude_code import CLAUDE_CODE
from runtimes.manifests.default import DEFAULT
from runtimes.manifests.langgraph import LANGGRAPH
from runtimes.manifests.manifest import RuntimeManifest
from runtimes.manifests.native import NATIVE
from runtimes.manifests.scripted import SCRIPTED

#: Manifests by the name that agents write.
KNOWN: Mapping[str, RuntimeManifest] = {
    manifest.name: manifest for manifest in (DEFAULT, CLAUDE_CODE, LANGGRAPH, NATIVE, SCRIPTED)
}


def manifest_of(name: str, known: Mapping[str, RuntimeManifest] = KNOWN) -> RuntimeManifest:
    """The manifest of a runtime.

    Raises:
        RuntimeUnknown: nothing has that name; says what was perhaps meant.
    """
    if name in known:
        return known[name]
    close = get_close_matches(name, known, n=1)
    guess = f" Did you mean '{close[0]}'?" if close else ""
    raise RuntimeUnknown(f"There is no runtime '{name[:80]}'.{guess} Known: {', '.join(sorted(known))}.")
