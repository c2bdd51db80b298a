"""The distributions of the packages that Holdfast consists of: frameworks have packages of the same names."""

from importlib.metadata import packages_distributions
from importlib.util import find_spec

#: Each package with the distribution that it comes with.
OURS = dict.fromkeys(("activities", "control_plane", "db", "runtimes", "services"), "holdfast") | {
    "workflows": "holdfast-workflows"
}


def has_workflows() -> bool:
    """Whether the package `workflows` is there, and Holdfast's own."""
    try:
        return find_spec("workflows.agent_execution") is not None
    except ImportError:
        return False


def foreign_packages() -> dict[str, list[str]]:
    """Packages of our names with the other distributions that install them."""
    installed = packages_distributions()
    found = {name: [each for each in installed.get(name, ()) if each != owner] for name, owner in OURS.items()}
    return {name: sorted(others) for name, others in found.items() if others}
