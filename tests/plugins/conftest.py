"""A plugin of another distribution, built and installed into an environment of its own."""

from pathlib import Path

import pytest

from tests.plugins.environment import Environment

PLUGIN = Path(__file__).with_name("oneshot")


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with Holdfast and the plugin."""
    environment = Environment.create(tmp_path_factory.mktemp("plugins") / "environment")
    environment.install(str(PLUGIN))
    return environment
