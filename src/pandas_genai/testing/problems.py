"""The error that a scripted fault is on each wire."""

from __future__ import annotations

from pandas_genai.testing.asked import Problem
from pandas_genai.testing.faults import Fault

__all__ = ["problem_of"]

_TPM = (
    "Request too large for the model in organization org-loopback on tokens per min (TPM): Limit "
    "30000, Requested 48123. The input or output tokens must be reduced in order to run "
    "successfully."
)

_OPENAI = {
    "rate_limit": (429, "Rate limit reached for requests.", "requests", "rate_limit_exceeded"),
    "insufficient_quota": (
        429,
        "You exceeded your current quota, please check your plan and billing details.",
        "insufficient_quota",
        "insufficient_quota",
    ),
    "server_error": (
        500,
        "The server had an error while processing your request. Sorry about that!",
        "server_error",
        None,
    ),
    "overloaded": (
        503,
        "The engine is currently overloaded, please try again later.",
        "server_error",
        "service_unavailable",
    ),
    "timeout_408": (408, "The request timed out.", "timeout_error", None),
    "conflict": (409, "The request conflicts with another one.", "conflict_error", None),
    "payment_required": (402, "Insufficient credits.", "billing_error", "insufficient_credits"),
    "forbidden": (
        403,
        "You have insufficient permissions for this operation.",
        "permission_error",
        "insufficient_permissions",
    ),
    "bad_request": (
        400,
        "We could not process your request.",
        "invalid_request_error",
        "invalid_prompt",
    ),
    "context_length": (
        400,
        "Input tokens exceed the configured limit of 272000 tokens.",
        "invalid_request_error",
        "context_length_exceeded",
    ),
    "too_large": (429, _TPM, "tokens", "rate_limit_exceeded"),
    "moderation": (403, "Input flagged by moderation", "moderation", None),
}

_ANTHROPIC = {
    "rate_limit": (429, "This request would exceed your rate limit.", "rate_limit_error", None),
    "insufficient_quota": (
        429,
        "Your organization has reached its spend limit.",
        "rate_limit_error",
        "enforced_spend_limit_reached",
    ),
    "server_error": (500, "Internal server error", "api_error", None),
    "overloaded": (529, "Overloaded", "overloaded_error", None),
    "timeout_408": (408, "Request timeout", "timeout_error", None),
    "conflict": (409, "The request conflicts with another one.", "conflict_error", None),
    "payment_required": (
        402,
        "There is an issue with your billing or payment information.",
        "billing_error",
        None,
    ),
    "forbidden": (
        403,
        "Your API key does not have permission to use the specified resource.",
        "permission_error",
        None,
    ),
    "bad_request": (400, "The request could not be processed.", "invalid_request_error", None),
    "context_length": (
        400,
        "prompt is too long: 200001 tokens > 200000 maximum",
        "invalid_request_error",
        None,
    ),
    "too_large": (
        429,
        "Request too large: 48123 input tokens exceed your limit of 30000 a minute.",
        "rate_limit_error",
        None,
    ),
    "moderation": (403, "Input flagged by moderation", "permission_error", None),
}

_TABLES = {"openai": _OPENAI, "anthropic": _ANTHROPIC}


def problem_of(fault: Fault, wire: str) -> Problem:
    """Return the error that a fault is.

    Parameters
    ----------
    fault : Fault
        Of a kind that is an error.
    wire : str
        ``"openai"`` or ``"anthropic"``.
    """
    if fault.kind == "error":
        body = {} if fault.body is None else fault.body
        return Problem(fault.status, fault.message or "", headers=fault.headers, body=body)
    status, message, kind, code = _TABLES[wire][fault.kind]
    headers = fault.headers
    param = fault.param
    if wire == "anthropic":
        headers.pop("retry-after-ms", None)
    elif fault.kind == "context_length":
        param = param or "messages"
    return Problem(
        status,
        fault.message or message,
        kind,
        param=param,
        code=fault.code or code,
        headers=headers,
        late=True,
    )
