"""Whether the log knows the tenant and the models that costs are asked of: a typo must not pass for nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from beast_ml.errors import InputError, UnknownModelError
from beast_ml.logs.store import LogStore
from beast_ml.operations.costs.question import CostQuestion

__all__ = ["check_names"]

_SHOWN: Final = 20


def check_names(store: LogStore, question: CostQuestion) -> None:
    """Raise if the log has no request of the question's tenant, or none that a model of its prices answered.

    The whole log counts, not the question's time alone, and the message names what it has: it is for operators, not for
    a tenant. An empty log knows no names, and none is missed.

    Raises
    ------
    InputError
        If there is no such tenant.
    UnknownModelError
        If there is no such model.
    """
    if question.tenant is not None:
        tenants = _names(store, "tenant_id")
        if tenants and question.tenant not in tenants:
            raise InputError(f"no request of the log is of tenant {question.tenant!r}; it has {_listed(tenants)}")
    if question.prices:
        models = _names(store, "served_model")
        unknown = [model for model in question.prices if model not in models]
        if models and unknown:
            raise UnknownModelError(
                f"no request of the log was answered by {', '.join(map(repr, unknown))}, so its price changes nothing; "
                f"models that answered: {_listed(models)}"
            )


def _names(store: LogStore, column: str) -> list[str]:
    found = store.sql(f"SELECT DISTINCT {column} AS name FROM log WHERE {column} IS NOT NULL ORDER BY name")  # noqa: S608 - fixed columns
    return list(map(str, found["name"].to_pylist()))


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more:,} more" if more > 0 else "")
