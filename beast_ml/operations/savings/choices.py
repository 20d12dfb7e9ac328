"""The switches that are looked at: few, so that looking at all of them costs little."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from beast_ml.domain import Objective
from beast_ml.operations.savings.decider import Decider
from beast_ml.operations.savings.log import SavingsLog
from beast_ml.operations.savings.soft_limit import under_soft_limit
from beast_ml.operations.savings.switches import Switch, SwitchKind, always, deciding, from_repeats, without
from beast_ml.policy.spec import PolicySpec
from beast_ml.policy.utility import willingness_grid

__all__ = ["list_switches"]

_FACTORS: Final = (0.1, 0.3, 0.6, 2.0)
_FLOOR_QUANTILES: Final = (0.1, 0.3, 0.5, 0.7)
_LIMIT_SHARES: Final = (0.5, 0.8)
_SOFT_SHARE: Final = 0.5
_GRID: Final = 8
_LEARN: Final = "learn it: beast train --log STORE, then beast promote"


def list_switches(log: SavingsLog, decider: Decider, life_s: float, before: Decider | None = None) -> list[Switch]:
    """Return the switches to look at; those that decide exactly as an earlier one are left out.

    Parameters
    ----------
    life_s
        Seconds that the cache would keep an answer, for the text.
    before
        What decided before prices changed; None where they have not.
    """
    # What is plainest comes first: another router that always takes one model is called so.
    found = [
        *_as_it_is(log, decider, before),
        *_singles(log, decider),
        *_routers(log, decider),
        *_without(log, decider),
    ]
    if (log.repeats >= 0).any():
        hours = life_s / 3600
        found.append(
            Switch(
                "cache",
                f"cache on, exact and normalised, answers kept for {hours:g} h",
                from_repeats(log),
                f"mlflow.yaml: cache: {{enabled: true, life_s: {life_s:g}}}; beast cache evaluate says what goes stale",
            )
        )
    return _different(found)


def _as_it_is(log: SavingsLog, decider: Decider, before: Decider | None) -> list[Switch]:
    own = decider.as_it_is()
    if own is None:
        return []
    if before is None:
        how = "serve it: serving.router in mlflow.yaml"
        return [_decided(log, "router", decider.name, own, how, decider.policy)]
    how = "mlflow.yaml: the new prices, `candidates`"
    found = [_decided(log, "price", f"{decider.name}, deciding by the new prices", own, how, None)]
    stays = before.as_it_is()
    if stays is not None:
        name = f"{before.name}, deciding by the old prices"
        found.append(_decided(log, "router", name, stays, "change nothing", None))
    return found


def _routers(log: SavingsLog, decider: Decider) -> list[Switch]:
    found, willing = [], decider.willingness_to_pay
    if willing:
        for factor in _FACTORS:
            policy = _paying(decider, willing * factor)
            name = f"{decider.name} at {factor:g} times its willingness to pay"
            found.append(_decided(log, "willingness", name, decider.at(willing * factor), _serve(policy), policy))
        found += _limits(log, decider, willing)
    elif decider.policy is None:
        for each in willingness_grid(decider.predictions, _GRID)[:-1]:
            name = f"{decider.name}, paying ${each:.3g} for a unit of quality"
            found.append(_decided(log, "router", name, decider.at(float(each)), _LEARN, None))
    best = np.max(decider.predictions.quality, axis=1)
    for floor in np.unique(np.round(np.quantile(best, _FLOOR_QUANTILES), 2)):
        name = f"{decider.name}, the cheapest model predicted to reach {floor:g}"
        cheapest = None if decider.policy is None else _paying(decider, 0.0, float(floor))
        how = _LEARN if cheapest is None else _serve(cheapest)
        found.append(_decided(log, "floor", name, decider.cheapest_above(float(floor)), how, cheapest))
    return found


def _limits(log: SavingsLog, decider: Decider, willing: float) -> list[Switch]:
    everyone = np.arange(len(log.chosen))
    daily = float(decider.predictions.cost[everyone, decider.at(willing)].sum()) / log.days
    found = []
    for share in _LIMIT_SHARES:
        limit = float(f"{share * daily:.3g}")
        if limit <= 0:
            continue
        decisions, over = under_soft_limit(decider, willing, log.received_s, limit, _SOFT_SHARE)
        spent = f"; {over:.1%} of the requests would find it spent, and be refused" if over else ""
        name = f"{decider.name} under a budget of ${limit:g} a day, saving from {_SOFT_SHARE:.0%} on{spent}"
        how = f"mlflow.yaml: budgets: [{{scope: global, period: day, limit_usd: {limit:g}, soft_share: {_SOFT_SHARE}}}]"
        found.append(_decided(log, "soft limit", name, decisions, how, None))
    return found


def _singles(log: SavingsLog, decider: Decider) -> list[Switch]:
    found = []
    for j, model in enumerate(log.models):
        served = decider.policy is not None
        policy = PolicySpec("single", model, Objective(willingness_to_pay=0.0), "none") if served else None
        how = _serve(policy) if policy else f"ask for {model} by name, or train a router and let it always answer so"
        found.append(Switch("one model", f"always {model}", always(log, j), how, policy))
    return found


def _without(log: SavingsLog, decider: Decider) -> list[Switch]:
    if len(log.models) < 3:  # of two, leaving one out is always taking the other
        return []
    preference = decider.preference()
    how = "train the router without it (beast train), or name the others as `candidates` of each request"
    return [
        Switch("without a model", f"without {model}, its requests to the next best", without(log, j, preference), how)
        for j, model in enumerate(log.models)
        if (log.chosen == j).any()
    ]


def _decided(
    log: SavingsLog, kind: SwitchKind, name: str, decisions: NDArray[np.intp], how: str, policy: PolicySpec | None
) -> Switch:
    return Switch(kind, name, deciding(log, decisions), how, policy)


def _paying(decider: Decider, willingness: float, floor: float | None = None) -> PolicySpec:
    assert decider.policy is not None  # noqa: S101  only champions pay
    objective = msgspec.structs.replace(
        decider.policy.objective,
        willingness_to_pay=willingness,
        min_quality=floor or decider.policy.objective.min_quality,
    )
    return msgspec.structs.replace(decider.policy, kind="router", cost="cost_usd", objective=objective)


def _serve(policy: PolicySpec) -> str:
    goal = policy.objective
    what = f"always {policy.model}" if policy.kind == "single" else f"willingness to pay {goal.willingness_to_pay:.3g}"
    floor = f", min_quality {goal.min_quality:g}" if goal.min_quality is not None else ""
    return f"as an experiment: --apply serves the champion's bundle with {what}{floor}"


def _different(switches: list[Switch]) -> list[Switch]:
    seen: dict[tuple[bytes, bytes, bytes], Switch] = {}
    for each in switches:
        made = each.redecided
        seen.setdefault((made.direct.tobytes(), made.weight.tobytes(), made.source.tobytes()), each)
    return list(seen.values())
