"""The runtimes that Holdfast ships: known everywhere, and nobody else can have their names."""

from collections.abc import Mapping

from runtimes.errors import RuntimeUnknown
from runtimes.manifests.claude_code import CLAUDE_CODE
from runtimes.manifests.crewai import CREWAI
from runtimes.manifests.default import DEFAULT
from runtimes.manifests.langgraph import LANGGRAPH
from runtimes.manifests.manifest import RuntimeManifest
from runtimes.manifests.native import NATIVE
from runtimes.manifests.openai_agents import OPENAI_AGENTS
from runtimes.manifests.scripted import SCRIPTED
from runtimes.meant import meant

#: Manifests by the name that agents write.
KNOWN: Mapping[str, RuntimeManifest] = {
    manifest.name: manifest for manifest in (DEFAULT, CLAUDE_CODE, LANGGRAPH, NATIVE, OPENAI_AGENTS, CREWAI, SCRIPTED)
}


def manifest_of(name: str, known: Mapping[str, RuntimeManifest]) -> RuntimeManifest:
    """The manifest of a runtime.

    Raises:
        RuntimeUnknown: nothing has that name; says what was perhaps meant.
    """
    if name in known:
        return known[name]
    hint = f"{meant(name, known)} Known: {', '.join(sorted(known))}.".strip()
    raise RuntimeUnknown(f"There is no runtime '{name[:80]}'. {hint}")
