"""Errors of the API about secrets; the hierarchy is drawn in `control_plane.errors`."""

from control_plane.errors import Conflict


class SecretsKeyMissing(Conflict):
    code = "secrets_key_missing"
    title = "No key for secrets"
    default_hint = "The operator sets HOLDFAST_SECRETS_KEY for the API; see docs/secrets.md."


class SecretInUse(Conflict):
    code = "secret_in_use"
    title = "Secret in use"
    default_hint = "Take it out of their definitions first; executions keep the version that they began with."
