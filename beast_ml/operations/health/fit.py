"""Whether a model can take a request at all; asked before it is chosen."""

from __future__ import annotations

from beast_ml.domain.endpoint import ModelLimits
from beast_ml.domain.failure import ErrorKind

__all__ = ["fits"]


def fits(
    limits: ModelLimits, input_tokens: int, max_output_tokens: int | None, needs: frozenset[str]
) -> ErrorKind | None:
    """Return why a model cannot take a request; None: as far as is known, it can.

    Parameters
    ----------
    limits
        Of the model; what is not known is not checked.
    input_tokens
        Of the prompt.
    max_output_tokens
        Most tokens that the answer may have; None: the client leaves that to the model, so there must be room for one.
    needs
        Capabilities that the request needs.

    Returns
    -------
    ErrorKind | None
        ``context_length``: prompt and answer are longer than the model can read, or the answer than it can write;
        ``no_candidate``: it lacks a capability.

    Examples
    --------
    >>> limits = ModelLimits(context_tokens=8192, max_output_tokens=4096, capabilities=frozenset({"tools"}))
    >>> fits(limits, 8000, 192, frozenset({"tools"}))
    >>> fits(limits, 8000, 193, frozenset())
    'context_length'
    >>> fits(limits, 100, None, frozenset({"vision"}))
    'no_candidate'
    """
    if limits.capabilities is not None and not needs <= limits.capabilities:
        return "no_candidate"
    if limits.max_output_tokens is not None and (max_output_tokens or 0) > limits.max_output_tokens:
        return "context_length"
    output_tokens = 1 if max_output_tokens is None else max_output_tokens
    if limits.context_tokens is not None and input_tokens + output_tokens > limits.context_tokens:
        return "context_length"
    return None
