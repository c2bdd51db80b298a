"""Manifests as plugins have them, and things that are none."""

from runtimes.manifests.manifest import CONTRACT, COUNT, RuntimeManifest
from runtimes.manifests.scripted import SCRIPTED

ACME = RuntimeManifest(
    name="acme",
    title="Acme",
    entry="no_such_framework.adapter:Adapter",
    distribution="acme-runtime",
    package="acme",
    versions=">=2,<3",
    capabilities=SCRIPTED.capabilities,
    wires=SCRIPTED.wires,
    templates=frozenset({"chat-assistant"}),
    settings={"speed": COUNT},
    memory_mb=75,
    slots=12,
)
SAME_NAME = ACME.model_copy(update={"title": "Another Acme"})
TAKEN = ACME.model_copy(update={"name": "default"})
OF_THE_FUTURE = ACME.model_copy(update={"name": "future", "contract": CONTRACT + 1})
OF_THE_PAST = ACME.model_copy(update={"name": "past", "contract": CONTRACT - 1})
#: Installed, as far as its package goes; its adapter cannot be imported.
UNLOADABLE = ACME.model_copy(update={"name": "unloadable", "package": "holdfast", "versions": ""})
#: Made for a Python that nobody has.
OF_ANOTHER_PYTHON = SCRIPTED.model_copy(update={"name": "another-python", "python": ">=4"})
NO_MANIFEST = "acme"


class Adapter:
    """What a plugin must not name."""
