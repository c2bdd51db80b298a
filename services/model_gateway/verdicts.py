"""The meaning of a refusal: by its words, by its codes, by its status."""

import re
from collections.abc import Collection
from dataclasses import dataclass

from runtimes.errors import (
    ContentRefused,
    ContextTooLong,
    ModelAnswerInvalid,
    ModelAuthentication,
    ModelFailure,
    ModelNotFound,
    ModelOverloaded,
    ModelQuotaExhausted,
    ModelRateLimited,
    ModelRequestRejected,
    ModelTimeout,
)
from services.model_gateway.refusals import Refusal

_CLIENT_ERRORS = range(400, 500)
_SERVER_ERRORS = range(500, 600)
#: Statuses that no code in the body turns into a failure that would be tried again.
_FINAL = frozenset({400, 401, 402, 403, 404, 405, 413, 415, 422})


class ModelOutputMalformed(ModelAnswerInvalid):
    """The model wrote something that its provider cannot read; asked again, it writes something else."""

    default_hint = "If it happens often, simplify the tools' schemas, or use a model that follows them better."


@dataclass(frozen=True, slots=True)
class _Rule:
    """One is enough: the HTTP status, or a code in the error's body."""

    failure: type[ModelFailure]
    statuses: Collection[int] = ()
    codes: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class _Wording:
    """Sentences that say more than their status."""

    failure: type[ModelFailure]
    statuses: Collection[int | None]
    pattern: re.Pattern[str]


def _words(*alternatives: str) -> re.Pattern[str]:
    return re.compile("|".join(alternatives), re.IGNORECASE)


_WORDINGS = (
    _Wording(
        ContextTooLong,
        {None, 400, 413, 422, *_SERVER_ERRORS},
        _words(
            r"context.{0,10}(length|window|size|limit)",
            r"(prompt|input|inputs|request|conversation)( text)?( is| are)? too (long|large)",
            r"too many (total )?(input |text )?(tokens|bytes)",
            r"exceed(s|ed)?( the| a| model)? .{0,25}\btoken",
            r"(maximum|max) (prompt|model|input) length",
            r"(token|prompt|input)( token)? (count|length)s?\b.{0,40}exceed",
            r"exceeds? (the )?max(imum)? (length|number of tokens)",
            r"reduce the length of the (messages|prompt|input)",
            r"range of input length should be",
            r"`?inputs`? tokens|inputs` must have less than",
            r"expected maxLength",
        ),
    ),
    _Wording(ContextTooLong, {429}, _words(r"request too large", r"input or output tokens must be reduced")),
    _Wording(
        ContentRefused,
        {None, 400, 403, 422, 451},
        _words(
            r"content.{0,3}(filter|policy|management)",
            r"safety system",
            r"requires moderation",
            r"\b(was|were|been) flagged\b",
            r"\b(prompt|content|response|output|input)\b.{0,30}\b(was|were|been) blocked",
            r"violat\w+ (our |the )?(usage|content|safety)",
            r"inappropriate content",
            r"content exists risk",
            r"considered high risk",
        ),
    ),
    _Wording(
        ModelQuotaExhausted,
        {None, 400, 401, 403, 429},
        _words(
            r"credit balance",
            r"insufficient (account )?(balance|credits?|funds)",
            r"(purchase|buy)( more)? credits",
            r"(out of|any|all available|more) credits",
            r"spend(ing)? limit",
            r"key limit exceeded",
            r"specified api usage limits",
            r"payment required",
            r"account is in good standing",
            r"\brecharge\b",
        ),
    ),
    _Wording(
        ModelAuthentication,
        {None, 400},
        _words(r"api key (is )?(not valid|expired|invalid)", r"(incorrect|invalid) api key", r"missing api key"),
    ),
    _Wording(
        ModelNotFound,
        {None, 400},
        _words(
            r"not a valid model",
            r"model not exist",
            r"^invalid model\b",
            r"model identifier is invalid",
            r"\bmodel [`'\"]?[\w./:-]{1,80}[`'\"]? (does not exist|(is )?not found)",
        ),
    ),
)
_RULES = (
    _Rule(
        ContextTooLong,
        {413},
        {
            "contextlengthexceeded",
            "requesttoolarge",
            "exceedcontextsizeerror",
            "tokenslimitreached",
            "modelmaxprompttokensexceeded",
            "stringabovemaxlength",
        },
    ),
    _Rule(
        ContentRefused,
        {451},
        {
            "contentfilter",
            "contentpolicyviolation",
            "responsibleaipolicyviolation",
            "datainspectionfailed",
            "moderationblocked",
            "prohibitedcontent",
            "cyberpolicyviolation",
        },
    ),
    _Rule(
        ModelQuotaExhausted,
        {402},
        {
            "insufficientquota",
            "billingerror",
            "billinghardlimitreached",
            "billingnotactive",
            "exceededcurrentquotaerror",
            "arrearage",
            "servicequotaexceededexception",
        },
    ),
    _Rule(ModelOutputMalformed, (), {"toolusefailed", "jsonvalidatefailed", "outputparsefailed"}),
    _Rule(
        ModelRateLimited,
        {429},
        {"ratelimiterror", "ratelimitexceeded", "toomanyrequests", "resourceexhausted", "throttlingexception"},
    ),
    _Rule(
        ModelAuthentication,
        {401, 403},
        {
            "authenticationerror",
            "permissionerror",
            "permissiondenied",
            "invalidapikey",
            "apikeyinvalid",
            "unauthenticated",
            "accessdeniedexception",
        },
    ),
    _Rule(
        ModelNotFound,
        {404},
        {
            "modelnotfound",
            "notfounderror",
            "notfound",
            "invalidmodel",
            "deploymentnotfound",
            "resourcenotfoundexception",
        },
    ),
    _Rule(ModelTimeout, {408, 504}, {"timeouterror", "deadlineexceeded", "modeltimeoutexception"}),
    _Rule(
        ModelOverloaded,
        {498, 503, 529},
        {
            "overloadederror",
            "overloaded",
            "serveroverloaded",
            "serverisoverloaded",
            "engineoverloadederror",
            "unavailable",
            "serviceunavailableexception",
            "modelnotreadyexception",
            "capacityexceeded",
        },
    ),
    _Rule(
        ModelFailure,
        {409, 424, 425, 499, *_SERVER_ERRORS},
        {"servererror", "apierror", "internalerror", "internalservererror", "internal", "internalserverexception"},
    ),
    _Rule(
        ModelRequestRejected,
        _CLIENT_ERRORS,
        {"invalidrequesterror", "invalidargument", "badrequesterror", "validationexception", "failedprecondition"},
    ),
)


def verdict(status: int | None, refusal: Refusal) -> type[ModelFailure]:
    """Judge by the words, then by codes and status; a client's error stays one, whatever type it is given."""
    worded = (each.failure for each in _WORDINGS if status in each.statuses and each.pattern.search(refusal.words))
    fits = (rule.failure for rule in _RULES if status in rule.statuses or _is_coded(rule, status, refusal))
    usual = ModelFailure if status is None or status in _SERVER_ERRORS else ModelAnswerInvalid
    return next(worded, next(fits, usual))


def _is_coded(rule: _Rule, status: int | None, refusal: Refusal) -> bool:
    is_possible = status not in _FINAL or not rule.failure.retryable or rule.failure is ModelOutputMalformed
    return is_possible and not refusal.codes.isdisjoint(rule.codes)
