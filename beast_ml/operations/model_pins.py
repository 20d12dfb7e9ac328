"""What still leans on a model that is to leave: settings, experiments, clients, and those it steps in for."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from beast_ml.domain.endpoint import Endpoint
from beast_ml.experiments.experiments_file import Experiments
from beast_ml.logs.schema import ASKED_FOR
from beast_ml.logs.sql_values import text_sql
from beast_ml.logs.store import LogStore

__all__ = ["Pin", "pins_in_log", "pins_of_experiments", "pins_of_settings"]


@dataclass(frozen=True)
class Pin:
    """Something that leans on a model.

    Parameters
    ----------
    what
        Said for people.
    advice
        What to do about it.
    breaks
        Whether it would fail without the model; else it changes, as it is meant to.
    """

    what: str
    advice: str
    breaks: bool

    def to_dict(self) -> dict[str, Any]:
        """Return the fields for a report."""
        return asdict(self)


def pins_of_settings(
    name: str,
    others: Collection[str],
    endpoints: Sequence[Endpoint],
    judge: str | None,
    *,
    has_budgets: bool,
    is_cheapest: bool,
) -> list[Pin]:
    """Return what a deployment's settings lean on a model for.

    Parameters
    ----------
    name, others
        The model, and the candidates that stay.
    endpoints
        Of all models.
    judge
        What verifies cached answers.
    has_budgets, is_cheapest
        Whether any budget is set, and whether no other candidate is as cheap.
    """
    found = []
    if judge == name:
        found.append(Pin("it verifies cached answers (cache.judge)", "name another model there, or `equal`", True))
    served = {each.model for each in endpoints}
    if served and not served & set(others):
        found.append(Pin("no other candidate has an endpoint", "name one under `endpoints` first", True))
    when = "once promoted, and no alias points at a router with it, take the line out of mlflow.yaml"
    found += [Pin(f"endpoint {each.name!r} serves it", when, False) for each in endpoints if each.model == name]
    if has_budgets and is_cheapest:
        found.append(
            Pin("budgets fall back to it, the cheapest model, beyond their soft limit", "look at their limits", False)
        )
    return found


def pins_of_experiments(experiments: Experiments) -> list[Pin]:
    """Return the running experiments: their champion would be another one in the middle, and their challenger, too."""
    return [
        Pin(f"experiment {each.id!r} runs", f"let it end, or stop it: beast experiment stop {each.id}", True)
        for each in experiments.running()
    ]


def pins_in_log(name: str, store: LogStore, days: int) -> list[Pin]:
    """Return who needed a model in the log's last days: clients that named it, and requests that no other could take.

    A client named it where no policy decided, or where it left the policy nothing else (`ASKED_FOR`). A single
    candidate that budgets, outages or limits left is another matter: without the model, these are refused.
    """
    if not store.days():
        return []
    model = text_sql(name)
    rows = store.sql(
        f"""
        WITH late AS (
          SELECT * FROM log
          WHERE received_at >= (SELECT max(received_at) FROM log) - INTERVAL {days} DAY
        ), told AS (
          SELECT *, len(candidates) = 1 AS is_only,
            propensity IS NULL OR (len(candidates) = 1 AND policy_version IS NULL)
              OR coalesce(context['{ASKED_FOR}'] = {model}, false) AS is_named
          FROM late
        )
        SELECT
          count(*) FILTER (WHERE chosen_model = {model} AND is_named) AS named,
          count(DISTINCT tenant_id) FILTER (WHERE chosen_model = {model} AND is_named) AS tenants,
          count(*) FILTER (WHERE chosen_model = {model} AND is_only AND NOT is_named) AS only_left,
          count(*) FILTER (WHERE served_model = {model} AND chosen_model <> {model}) AS rescued
        FROM told
        """  # noqa: S608  an escaped name and a number
    ).to_pylist()[0]
    found = []
    if rows["named"]:
        what = f"{rows['named']:,} requests of {rows['tenants']} tenants named it themselves in {days} days"
        found.append(Pin(what, "tell them: without it they are refused", True))
    if rows["only_left"]:
        what = (
            f"no other candidate was left to {rows['only_left']:,} requests in {days} days (budgets, outages, limits)"
        )
        found.append(Pin(what, "look at what left the others out: such requests are refused without it", False))
    if rows["rescued"]:
        what = f"it stepped in for another model {rows['rescued']:,} times in {days} days"
        found.append(Pin(what, "the next in the ranking does so then", False))
    return found
