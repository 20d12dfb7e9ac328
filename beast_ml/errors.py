"""Every error beast-ml raises on purpose.

    BeastError
    ├── InputError (ValueError)                what the user gave is wrong; the CLI exits with 2
    │   ├── SettingsError                      mlflow.yaml or a BEAST_* variable
    │   ├── DataError                          a file, a table, or its content
    │   │   └── NotEnoughDataError             well-formed, but too little to learn from
    │   ├── UnknownModelError (LookupError)    a model that is not in the pool
    │   └── NoCandidateError                   no candidate is left under the constraints
    ├── MissingExtraError (ImportError)        an optional dependency is not installed
    ├── DownloadError (ConnectionError)        a public file cannot be fetched, or is not what it should be
    ├── ClusterError (ConnectionError)         the cluster that was to do the work is away, or gave up on it
    ├── EncoderError                           encoder weights that are absent or not what they claim to be
    ├── BundleError                            a router bundle that cannot be read or written
    │   └── BundleIntegrityError               its content does not match its manifest
    ├── RegistryError                          MLflow answered, and the answer is no
    │   ├── RegistryUnavailableError (ConnectionError)   MLflow did not answer
    │   └── PromotionRefusedError              a gate did not pass
    └── ServingError                           a request that cannot be served now
        ├── AuthenticationError                no key, or none that is known
        ├── ForbiddenError                     a known key that may not do this
        ├── RateLimitedError                   too many requests; comes with the seconds to wait
        ├── BudgetExceededError                a budget's hard limit would be overspent
        ├── UnavailableError                   the runtime is starting, draining, or cannot write its log
        │   └── LedgerError                    what budgets have left, or what a request costs, cannot be told
        └── ProviderError                      a candidate model's provider failed; comes with its kind

Messages say what was got, what is allowed, and what to do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from beast_ml.domain.failure import ErrorKind

__all__ = [
    "AuthenticationError",
    "BeastError",
    "BudgetExceededError",
    "BundleError",
    "BundleIntegrityError",
    "ClusterError",
    "DataError",
    "DownloadError",
    "EncoderError",
    "ForbiddenError",
    "InputError",
    "LedgerError",
    "MissingExtraError",
    "NoCandidateError",
    "NotEnoughDataError",
    "PromotionRefusedError",
    "ProviderError",
    "RateLimitedError",
    "RegistryError",
    "RegistryUnavailableError",
    "ServingError",
    "SettingsError",
    "UnavailableError",
    "UnknownModelError",
]


class BeastError(Exception):
    """The root: catch it to catch everything beast-ml raises on purpose."""

    request_id: str | None = None
    """Under which the request that met it is on record; None where none is."""


class InputError(BeastError, ValueError):
    """What the user gave is wrong; the message says how to mend it."""


class SettingsError(InputError):
    """A setting in ``mlflow.yaml`` or a ``BEAST_*`` variable is wrong."""


class DataError(InputError):
    """A file or a table cannot be used as it is."""


class NotEnoughDataError(DataError):
    """The data are well-formed but too few to learn or conclude anything."""


class UnknownModelError(InputError, LookupError):
    """A model was named that is not in the candidate pool."""


class NoCandidateError(InputError):
    """No candidate model is left under the constraints of the request."""


class MissingExtraError(BeastError, ImportError):
    """A feature needs an optional dependency.

    Parameters
    ----------
    what
        The feature that was asked for.
    extra
        The pip extra that brings it.
    command
        What else to run, where the extra alone does not do.
    """

    def __init__(self, what: str, extra: str, command: str | None = None) -> None:
        self.extra = extra
        then = "" if command is None else f" && {command}"
        super().__init__(f'{what} needs the "{extra}" extra: pip install "beast-ml[{extra}]"{then}')
        self._told = (what, extra, command)

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str, str | None]]:
        """Let it come from another process."""
        return type(self), self._told


class DownloadError(BeastError, ConnectionError):
    """A public file cannot be fetched, or what came is not what it should be."""


class ClusterError(BeastError, ConnectionError):
    """The cluster that was to do the work is away, cannot do it, or gave up on it; the message says which."""


class EncoderError(BeastError):
    """Encoder weights are absent, or are not what they claim to be."""


class BundleError(BeastError):
    """A router bundle cannot be read or written."""


class BundleIntegrityError(BundleError):
    """A bundle's content does not match its manifest."""


class RegistryError(BeastError):
    """The MLflow registry refused, or does not hold, what was asked for."""


class RegistryUnavailableError(RegistryError, ConnectionError):
    """The MLflow server or database did not answer."""


class PromotionRefusedError(RegistryError):
    """A promotion gate did not pass; the message names it.

    Parameters
    ----------
    message
        What did not pass, and which version stays champion.
    details
        The evidence and every gate, as plain values.
    """

    def __init__(self, message: str, details: Mapping[str, object]) -> None:
        self.details = details
        super().__init__(message)


class ServingError(BeastError):
    """A request cannot be served now; the message says what the client can do."""


class AuthenticationError(ServingError):
    """A request carries no API key, or none that is known."""


class ForbiddenError(ServingError):
    """A known key may not do what it asks for."""


class RateLimitedError(ServingError):
    """A tenant sends more than it may.

    Parameters
    ----------
    message
        What was exceeded.
    retry_after_s
        Seconds after which the same request is let through.
    """

    def __init__(self, message: str, retry_after_s: float) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(message)


class BudgetExceededError(ServingError):
    """A budget's hard limit would be overspent by the request.

    Parameters
    ----------
    message
        Which budget, what is left of it, what the request may cost, and when the budget starts anew.
    budget
        Its name, such as ``tenant:acme:day``.
    """

    def __init__(self, message: str, budget: str) -> None:
        self.budget = budget
        super().__init__(message)


class UnavailableError(ServingError):
    """The runtime is starting, draining, or cannot write its log: another replica, or a later try, may do.

    Parameters
    ----------
    message
        Why, and what to do.
    retry_after_s
        Seconds after which a try makes sense.
    """

    def __init__(self, message: str, retry_after_s: float = 1.0) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(message)


class LedgerError(UnavailableError):
    """Budgets are set, and what they have left or what the request may cost cannot be told: budgets fail closed."""


class ProviderError(ServingError):
    """A call to a candidate model's provider failed.

    Parameters
    ----------
    message
        What the provider said, and what to do.
    kind
        One of `beast_ml.domain.failure.ERROR_KINDS`.
    model, endpoint
        Who was called.
    retry_after_s
        What the provider asked for; None where it did not.
    """

    def __init__(
        self, message: str, kind: ErrorKind, model: str, endpoint: str, retry_after_s: float | None = None
    ) -> None:
        self.kind, self.model, self.endpoint, self.retry_after_s = kind, model, endpoint, retry_after_s
        super().__init__(message)
