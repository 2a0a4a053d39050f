"""Errors of litellm and of providers -> ModelError with a code and a hint, and whether another try makes sense."""

from __future__ import annotations

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

from bot.errors import ModelError

MESSAGE_CHARS = 300
"""How much of a provider's message is shown."""


class Fault(NamedTuple):
    """A kind of failure."""

    code: str
    says: str
    hint: str
    passing: bool = False
    """Whether it may be over soon."""


UNAVAILABLE = Fault(
    "model_unavailable", "The model's provider does not answer", "Try again with `/bot retry`.", passing=True
)
RATE_LIMITED = Fault(
    "model_rate_limited",
    "The model's provider limits how often it is called",
    "Try again later with `/bot retry`, or raise the limit at the provider.",
    passing=True,
)
NO_CREDIT = Fault("model_no_credit", "The account at the model's provider has no credit", "Top it up, then retry.")
REFUSED_KEY = Fault(
    "model_refused_key",
    "The model's provider refused the key",
    "Check the secret that holds the key: is it complete, still valid, and allowed to use this model?",
)
NOT_FOUND = Fault("model_not_found", "The provider has no such model", "Check the setting `model`.")
CONTEXT = Fault(
    "model_context_exceeded", "The conversation is too long for the model", "Choose a model with a larger window."
)
FILTERED = Fault("model_filtered", "The provider's content filter refused the conversation", "Rephrase the request.")
BAD_REQUEST = Fault(
    "model_bad_request", "The model's provider refused the request", "Does the model support tools? Try another one."
)

BY_STATUS = {400: BAD_REQUEST, 401: REFUSED_KEY, 402: NO_CREDIT, 403: REFUSED_KEY, 404: NOT_FOUND, 429: RATE_LIMITED}
BY_NAME = {
    "ContextWindowExceededError": CONTEXT,
    "ContentPolicyViolationError": FILTERED,
    "PaymentRequiredError": NO_CREDIT,
    "Timeout": UNAVAILABLE,
    "LiteLLMUnknownProvider": NOT_FOUND,
}
CREDIT_WORDS = ("insufficient_quota", "credit balance", "insufficient balance", "billing")
CONTEXT_WORDS = ("context length", "context window", "maximum context", "prompt is too long", "too many tokens")
SHAPE_WORDS = ("response_format", "json_schema", "structured output", "requested parameters", "grammar")


def classify(error: Exception) -> Fault:
    """What kind of failure litellm's exception stands for."""
    if named := BY_NAME.get(type(error).__name__):
        return named
    text = str(error).lower()
    status = getattr(error, "status_code", None)
    if status in (400, 403, 429) and any(word in text for word in CREDIT_WORDS):
        return NO_CREDIT
    if status in (400, 413) and any(word in text for word in CONTEXT_WORDS):
        return CONTEXT
    if status in (404, 500, 501) and any(word in text for word in SHAPE_WORDS):
        return BAD_REQUEST  # how some routers and servers of one's own say that they know no schema
    if "llm provider not provided" in text:
        return NOT_FOUND
    if isinstance(status, int) and 400 <= status < 500 and status != 408:
        return BY_STATUS.get(status, BAD_REQUEST)
    return UNAVAILABLE


def model_error(fault: Fault, error: Exception, model: str, secret: str | None) -> ModelError:
    """The failure for a person. Messages about keys are left out: providers quote parts of the key in them."""
    detail = "" if fault in (REFUSED_KEY, NO_CREDIT) else " ".join(str(error).split())
    if secret:
        detail = detail.replace(secret, "[key]")
    detail = f": {detail[:MESSAGE_CHARS]}" if detail else "."
    return ModelError(fault.code, f"{fault.says} ({model}){detail}", hint=fault.hint)


def retry_after(error: Exception) -> float | None:
    """Seconds that the provider asks us to wait (header Retry-After, RFC 9110 10.2.3), None if it does not say."""
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    for source in (headers, getattr(error, "litellm_response_headers", None) or {}):
        if (seconds := _seconds(source)) is not None:
            return seconds
    return None


def _seconds(headers: Mapping[str, Any]) -> float | None:
    value = str(headers.get("retry-after") or headers.get("Retry-After") or "").strip()
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None
