"""Whether a server has loaded the routers that its experiments go by: while it has not, no unit takes part."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from beast_ml.cli.server_calls import NEEDS_ADMIN_KEY, call_server, own_admin_key
from beast_ml.errors import UnavailableError

if TYPE_CHECKING:
    from beast_ml.experiments.experiments_file import Experiments

__all__ = ["missing_aliases", "warning_of_missing"]

_STEP_S: Final = 0.5


def missing_aliases(
    experiments: Experiments, only: str | None, url: str | None, key: str | None, patience_s: float = 0.0
) -> dict[str, str]:
    """Return alias -> experiment, of the running ones that go by a router that the server has not loaded.

    Parameters
    ----------
    only
        Id of the experiment that is looked at; None: all.
    url, key
        As in `beast_ml.cli.server_calls.call_server`.
    patience_s
        How long to wait for routers that may just be loading.
    """
    wanted = {
        alias: each.id
        for each in experiments.running()
        if only in (None, each.id)
        for alias in (*(variant.policy for variant in each.variants), each.shadow)
        if alias not in (None, "champion")
    }
    deadline = time.monotonic() + patience_s
    while True:
        missing = _not_loaded(wanted, url, key) if wanted else {}
        if not missing or time.monotonic() >= deadline:
            return missing
        time.sleep(_STEP_S)


def warning_of_missing(alias: str, experiment: str) -> str:
    """Return what to tell of an alias that a server has not loaded."""
    return (
        f"warning: the server has no router behind the alias {alias!r} of experiment {experiment!r}: until it has, no "
        "request takes part. Where no version of the registered router has that alias, give it to one in MLflow "
        "(`beast ui`); `beast models add` and `beast experiment create --from-report` give `challenger` to what they "
        "register"
    )


def _not_loaded(wanted: dict[str, str], url: str | None, key: str | None) -> dict[str, str]:
    try:
        ready = call_server("GET", "/readyz", url=url, key=key or own_admin_key(), needs=NEEDS_ADMIN_KEY)
    except UnavailableError:  # it answered a moment ago, and is on its way out
        return {}
    router = ready.get("router")
    if router is None:
        return {}
    return {alias: name for alias, name in wanted.items() if router["followed"].get(alias) is None}
