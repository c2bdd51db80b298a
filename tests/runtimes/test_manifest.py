"""Manifests: checked when they are written, and as JSON what they were."""

import pytest
from pydantic import ValidationError

from runtimes.frameworks import FrameworksConfig
from runtimes.manifests.claude_code import CLAUDE_CODE
from runtimes.manifests.known import KNOWN
from runtimes.manifests.manifest import RuntimeManifest
from runtimes.manifests.scripted import SCRIPTED


@pytest.mark.parametrize("manifest", KNOWN.values(), ids=lambda manifest: manifest.name)
def test_a_manifest_travels_as_json(manifest: RuntimeManifest) -> None:
    text = manifest.model_dump_json()

    assert RuntimeManifest.model_validate_json(text) == manifest
    assert RuntimeManifest.model_validate_json(text).model_dump_json() == text


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("name", "Two Words", "pattern"),
        ("versions", "1.2 to 1.3", "no version specifier"),
        ("entry", "acme.adapter", "pattern"),
        ("capabilities", ["flying"], "'vision'"),
        ("settings", {"speed": {"type": "fast"}}, "fast"),
        ("settings", {"speed": {"$ref": "https://example.com/speed"}}, "may not refer"),
        ("memory_mb", 0, "greater than or equal to 1"),
        ("slot", 1, "not permitted"),
    ],
)
def test_a_wrong_one_is_refused(field: str, value: object, complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        RuntimeManifest.model_validate({**SCRIPTED.model_dump(), field: value})


@pytest.mark.parametrize(
    ("version", "fits"), [("0.2.186", True), ("0.2.185", False), ("0.3.0", False), ("newest", False), ("", False)]
)
def test_it_says_which_versions_it_was_made_for(version: str, fits: bool) -> None:
    assert CLAUDE_CODE.supports(version) is fits


def test_what_the_operator_says_of_a_runtime_stands_in_place_of_its_manifests() -> None:
    said = {"max_concurrent_executions": 3, "memory_limit_mb": 512, "weight": 20, "timeout_seconds": 60}
    config = FrameworksConfig.model_validate({"framework_specific": {"scripted": said}})

    limited = config.applied(SCRIPTED)

    assert (limited.slots, limited.memory_mb, limited.weight) == (3, 512, 20)
    assert config.applied(CLAUDE_CODE) == CLAUDE_CODE
    assert config.limits("scripted").timeout_seconds == 60
    assert config.limits("claude_code").timeout_seconds is None
