"""Words that tenants read, without the operator's hosts and directories."""

import socket

import pytest

from runtimes.discreet import discreet
from runtimes.errors import ControlPlaneUnavailable, RuntimeCrashed


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Cannot connect to host 10.1.2.3:8000 ssl:default", "Cannot connect to host [a host] ssl:default"),
        ("http://llm.prod.svc.cluster.local:8000/v1 refused", "http://[a host]/v1 refused"),
        ("http://vllm:8000/v1", "http://[a host]/v1"),
        ("postgresql://u:p@db.internal:5432/holdfast", "postgresql://[a host]/holdfast"),
        ("http://[fd00::1]:80/", "http://[a host]/"),
        ("connect to localhost:5432 failed", "connect to [a host] failed"),
        ("127.0.0.1:44123 reset", "[a host] reset"),
        ("db01.corp does not answer", "[a host] does not answer"),
        ("No such file: '/srv/app/models/x.bin'", "No such file: '…/x.bin'"),
        ('File "/usr/lib/python3.11/site-packages/a/b.py", line 3', 'File "…/b.py", line 3'),
    ],
)
def test_inner_places_are_not_told(text: str, told: str) -> None:
    assert discreet(text)[0] == told


@pytest.mark.parametrize(
    "text",
    [
        "See https://platform.openai.com/account/api-keys",
        "'/workspace/notes/plan.md' is too long",
        "model 'openai/gpt-5' and/or another",
        "version 1.2.3 of http/1.1, 3.14:1",
        "1.1.1.1 answered",
        "expected a value at /messages/0/content",
        "the ratio is 10:20",
        "s3://bucket.example.com/x",
    ],
)
def test_what_is_no_place_of_the_operators_stays(text: str) -> None:
    assert discreet(text) == (text, [])


def test_a_machine_s_name_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "worker-7f9c")

    assert discreet("on worker-7f9c: no", ["llm.example.com"])[0] == "on [a host]: no"
    assert discreet("https://llm.example.com:444/v1 no", ["llm.example.com"])[1] == ["llm.example.com:444"]


@pytest.mark.parametrize("kind", [RuntimeCrashed, ControlPlaneUnavailable])
def test_a_failure_keeps_for_operators_what_it_does_not_tell(kind: type[RuntimeCrashed]) -> None:
    failure = kind("OSError: no /srv/models/x.bin at http://10.0.0.7:8000/v1")

    assert failure.as_error().message == "OSError: no …/x.bin at http://[a host]/v1"
    assert str(failure) == failure.message
    assert failure.private == "http://10.0.0.7:8000, /srv/models/"
