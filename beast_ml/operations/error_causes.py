"""What a pattern of failures most likely comes from, and what to do next, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from beast_ml.domain.failure import known_kind

if TYPE_CHECKING:
    from beast_ml.operations.error_patterns import ErrorPattern

__all__ = ["cause_of", "next_step_for"]

_MEANING: Final[dict[str, str]] = {
    "provider": "{who} answers with errors of its own, or not at all",
    "timeout": "{who} does not answer in time",
    "rate_limit": "{who} asks to slow down: more is sent than its quota takes",
    "context_length": "prompts are longer than {who} reads",
    "content_filter": "{who} refuses the content of requests",
    "auth": "{who} refuses the API key",
    "invalid_request": "clients send requests that cannot be served",
    "budget": "a budget's hard limit is reached",
    "ledger": "budgets are set, and their ledger is away, or nobody knows what a request may cost",
    "no_candidate": "constraints, capabilities or outages leave no model to choose",
    "internal": "our own code fails",
}

_NEXT_STEP: Final[dict[str, str]] = {
    "provider": "Look at the status page or the log of {where}; a second endpoint would take over by itself.",
    "timeout": "Look at the load of {where}; raise its `timeout_s` if answers are long, or add an endpoint.",
    "rate_limit": "Raise the quota at {where}, add an endpoint, or send less: a lower `requests_per_s` of the tenant.",
    "context_length": "Set `context_tokens` of {model} in mlflow.yaml: what does not fit then goes to another model.",
    "content_filter": "Read the examples; send such requests to another model by `candidates`, or talk to the tenant.",
    "auth": "Renew the key in the variable named by `api_key_env` of {where}, and start the server again.",
    "invalid_request": "Show the examples to who sends them: each was answered with what is wrong in it.",
    "budget": "See GET /v1/budgets; raise its `limit_usd`, or wait until it starts anew.",
    "ledger": "Mend the database of budgets (`beast_dependency_up`), or set prices that are missing (`candidates`).",
    "no_candidate": "Relax the requests' constraints, or mend what masks the models (GET /v1/models).",
    "internal": "Look for the examples' ids in the server's log, and report it.",
}


def cause_of(pattern: ErrorPattern) -> str:
    """Return what most likely happens, in one or two sentences; what only coincides is called that."""
    who = _who(pattern)
    meaning = _MEANING.get(known_kind(pattern.error_kind))
    said = meaning.format(who=who) if meaning else f"calls of {who} fail with {pattern.error_kind!r}"
    parts = [said[0].upper() + said[1:]]
    others = [place for place in pattern.where if place.dimension != "endpoint"]
    if others:
        listed = ", ".join(f"{place.dimension} {place.value} ({place.failure_share:.0%} of them)" for place in others)
        parts[0] += f"; mostly {listed}"
    tied = [change for change in pattern.changes if change.is_tied]
    loose = [change for change in pattern.changes if not change.is_tied]
    if tied:
        parts.append("Failures go with what changed: " + "; ".join(change.sentence() for change in tied))
    elif loose:
        parts.append(
            "At about the same time, which need not be the reason: " + "; ".join(change.sentence() for change in loose)
        )
    if pattern.traffic_ratio is not None and not 0.67 < pattern.traffic_ratio < 1.5:
        parts.append(f"Calls an hour are {pattern.traffic_ratio:.2g} times what they were before")
    if pattern.also:
        parts.append(f"{', '.join(pattern.also)} began to fail alike: look at what they share")
    if not (tied or loose or pattern.where) and pattern.is_new:
        parts.append("Nothing that is logged changed with it")
    return ". ".join(parts) + "."


def next_step_for(pattern: ErrorPattern) -> str:
    """Return what to do about a pattern."""
    known = known_kind(pattern.error_kind)
    endpoint = _endpoint(pattern)
    where = f"endpoint {endpoint}" if endpoint else f"the endpoints of {pattern.model}" if pattern.model else "it"
    step = _NEXT_STEP.get(known, "Look for the examples in the log, and at what the provider says of such errors.")
    step = step.format(where=where, model=pattern.model or "the candidates")
    version = next((each for each in pattern.changes if each.dimension == "policy version" and each.is_tied), None)
    if version is not None:
        step += f" If policy version {version.value} is to blame: beast rollback."
    return step


def _who(pattern: ErrorPattern) -> str:
    if pattern.model is None:
        return "the server"
    endpoint = _endpoint(pattern)
    return f"endpoint {endpoint} of {pattern.model}" if endpoint else f"model {pattern.model}"


def _endpoint(pattern: ErrorPattern) -> str | None:
    return next((place.value for place in pattern.where if place.dimension == "endpoint"), None)
