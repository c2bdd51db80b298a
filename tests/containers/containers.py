"""Containers of the fleet: published on loopback only, restricted as pods are."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network

# What cleans up after testcontainers is an image of a registry; here the tests do.
testcontainers_config.ryuk_disabled = True

RESTRICTED = {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges"]}
#: Each check of a container's health is a process of its own; the tests ask in other ways.
UNASKED = {"healthcheck": {"test": ["NONE"]}}


@dataclass
class Container:
    """A container on the fleet's network; `ports` are those of the container with those on loopback."""

    name: str
    image: str
    network: Network
    command: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    alias: str = ""
    ports: Mapping[int, int] = field(default_factory=dict[int, int])
    mounts: Mapping[Path, str] = field(default_factory=dict[Path, str])
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    running: Any = None

    def start(self) -> None:
        """Make and start it."""
        made: Any = DockerContainer(self.image, env=dict(self.environment))
        if self.command:
            made.with_command(list(self.command))
        made.with_network(self.network).with_network_aliases(self.alias or self.name)
        made.with_kwargs(hostname=self.name, **self.options)
        made.ports = {f"{inner}/tcp": ("127.0.0.1", outer) for inner, outer in self.ports.items()}
        for place, target in self.mounts.items():
            made.with_volume_mapping(str(place), target, "ro" if place.is_file() else "rw")
        self.running = made
        made.start()

    @property
    def docker(self) -> Any:
        """The container as Docker's client knows it."""
        return self.running.get_wrapped_container()

    def kill(self) -> None:
        """SIGKILL."""
        self.docker.kill()

    def stop(self, seconds: int) -> int:
        """SIGTERM, and SIGKILL after so many seconds; gives the exit code."""
        self.docker.stop(timeout=seconds)
        return self.exit_code()

    def exit_code(self) -> int:
        """Wait for its end."""
        return self.docker.wait(timeout=120)["StatusCode"]

    def runs(self) -> bool:
        """Whether it has not ended."""
        self.docker.reload()
        return self.docker.attrs["State"]["Running"]

    def disconnect(self) -> None:
        """Cut it off from the network."""
        self._networks().disconnect(self.docker)

    def connect(self) -> None:
        """Put it back on the network."""
        self._networks().connect(self.docker, aliases=[self.alias or self.name])

    def _networks(self) -> Any:
        return self.docker.client.networks.get(self.network.name)

    async def remove(self, log: Path | None = None) -> None:
        """Take it away in any state; what it said goes into `log`."""
        if self.running is None:
            return
        if log is not None:
            log.write_bytes(await asyncio.to_thread(self.docker.logs))
        await asyncio.to_thread(self.running.stop)
        self.running = None
