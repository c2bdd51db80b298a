"""The Pod Security Standard `restricted` (kubernetes.io/docs/concepts/security/pod-security-standards)."""

from collections.abc import Iterator, Mapping
from typing import Any

_VOLUMES = frozenset(
    {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
)
_HOST = ("hostNetwork", "hostPID", "hostIPC")
_SECCOMP = ("RuntimeDefault", "Localhost")


def violations(pod: Mapping[str, Any]) -> list[str]:
    """What a pod's spec breaks, a sentence each."""
    return [*_of_pod(pod), *(found for each in _containers(pod) for found in _of_container(each, pod))]


def _containers(pod: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        yield from pod.get(kind, ())


def _of_pod(pod: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"{name} is set" for name in _HOST if pod.get(name))
    for volume in pod.get("volumes", ()):
        yield from (f"volume {volume['name']} is a {kind}" for kind in volume.keys() - {"name"} - _VOLUMES)
    if pod.get("securityContext", {}).get("sysctls"):
        yield "sysctls are set"


def _of_container(container: Mapping[str, Any], pod: Mapping[str, Any]) -> Iterator[str]:
    own = container.get("securityContext", {})
    rules = _privileges(own) | _identity({**pod.get("securityContext", {}), **own})
    rules["has a host port"] = any(port.get("hostPort") for port in container.get("ports", ()))
    yield from (f"{container['name']} {what}" for what, broken in rules.items() if broken)


def _privileges(own: Mapping[str, Any]) -> dict[str, bool]:
    capabilities = own.get("capabilities", {})
    return {
        "may gain privileges": own.get("privileged", False) or own.get("allowPrivilegeEscalation") is not False,
        "keeps capabilities": capabilities.get("drop") != ["ALL"],
        "adds capabilities": not {"NET_BIND_SERVICE"}.issuperset(capabilities.get("add", ())),
        "sees all of /proc": own.get("procMount", "Default") != "Default",
    }


def _identity(both: Mapping[str, Any]) -> dict[str, bool]:
    return {
        "may run as root": both.get("runAsNonRoot") is not True or both.get("runAsUser") == 0,
        "has no seccomp profile": both.get("seccompProfile", {}).get("type") not in _SECCOMP,
    }
