"""What a check of `holdfast doctor` gives."""

from enum import StrEnum

from pydantic import BaseModel


class CheckStatus(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Check(BaseModel):
    """One check: what was found, and what to do about it."""

    id: str
    status: CheckStatus
    detail: str
    fix: str = ""


def passed(name: str, detail: str) -> Check:
    """All is well."""
    return Check(id=name, status=CheckStatus.OK, detail=detail)


def warned(name: str, detail: str, fix: str) -> Check:
    """It works, but not as it might."""
    return Check(id=name, status=CheckStatus.WARN, detail=detail, fix=fix)


def failed(name: str, detail: str, fix: str) -> Check:
    """It does not work."""
    return Check(id=name, status=CheckStatus.FAIL, detail=detail, fix=fix)
