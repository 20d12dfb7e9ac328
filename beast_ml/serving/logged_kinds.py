"""What the log calls it when a request is refused before anybody was called."""

from __future__ import annotations

from beast_ml.domain.failure import ErrorKind
from beast_ml.errors import (
    BudgetExceededError,
    InputError,
    LedgerError,
    NoCandidateError,
    RateLimitedError,
    UnavailableError,
)

__all__ = ["logged_kind"]


def logged_kind(error: Exception) -> ErrorKind:
    """Return the kind of error that a refusal is logged and counted under; what nobody foresaw is ours.

    Examples
    --------
    >>> logged_kind(LedgerError("the ledger does not answer")), logged_kind(InputError("no prompt"))
    ('ledger', 'invalid_request')
    """
    match error:
        case BudgetExceededError():
            return "budget"
        case RateLimitedError():
            return "rate_limit"
        case LedgerError():
            return "ledger"
        case NoCandidateError() | UnavailableError():
            return "no_candidate"
        case InputError():
            return "invalid_request"
        case _:
            return "internal"
