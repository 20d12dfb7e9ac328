"""`beast cache warm`: what to answer before it is asked, and, when told to, answer it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from beast_ml.cli.output import JsonOption, print_json, print_table, stdout
from beast_ml.cli.server_calls import UrlOption, server_client
from beast_ml.errors import InputError, UnavailableError

if TYPE_CHECKING:
    from beast_ml.cache.warming import PlannedAnswer, WarmingPlan

__all__ = ["gateway_answers", "warm_cache"]

_SHOWN = 20
_SHOWN_CHARACTERS = 60


def warm_cache(
    budget_usd: Annotated[float, typer.Option(min=0.0, help="What the answers may cost together.")] = 1.0,
    hours: Annotated[int, typer.Option(min=1, max=168, help="How far ahead demand counts.")] = 24,
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's questions; needed with --yes.")] = None,
    since_days: Annotated[int, typer.Option(min=1, help="How many days of the log to learn from.")] = 28,
    store: Annotated[Path | None, typer.Option(help="The log store; default: logs.store in mlflow.yaml.")] = None,
    lifetimes: Annotated[
        Path | None, typer.Option(help="A JSON file of learned lives; default: guesses by kind of request.")
    ] = None,
    least_gain: Annotated[float, typer.Option(min=0.0, max=1.0, help="Leave out what gains fewer hits.")] = 0.2,
    yes: Annotated[bool, typer.Option("--yes", help="Make the answers; without it the plan is only shown.")] = False,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Plan which answers to make in advance within a budget, most expected hits per dollar first.

    With --yes they are asked of a running gateway, with the tenant's key in BEAST_API_KEY; its cache keeps them.
    """
    from beast_ml.cache.demand import warming_candidates
    from beast_ml.cache.warming import execute_plan, plan_warming
    from beast_ml.operations.cache_sources import read_asked_requests, read_lives
    from beast_ml.settings import load_settings

    if yes and tenant is None:
        raise InputError("--yes answers one tenant's questions with that tenant's key: name it with --tenant")
    key = os.environ.get("BEAST_API_KEY", "")
    if yes and not key:
        raise InputError("--yes needs the tenant's key: set BEAST_API_KEY (beast keys create makes one)")
    requests = read_asked_requests(store or load_settings().logs.store, since_days, tenant)
    candidates, _ = warming_candidates(requests, read_lives(lifetimes), requests[-1].at_s + 1.0, hours)
    plan = plan_warming(candidates, budget_usd, least_gain)
    result = execute_plan(plan, gateway_answers(url, key)) if yes else None
    if as_json:
        made = None if result is None else {"made": result.n_made, "failed": result.n_failed, "left": result.n_left}
        print_json(plan.to_dict() | {"dry_run": not yes, "result": made})
        return
    _show(plan, hours)
    if result is not None:
        stdout.print(f"{result.n_made} answers made, {result.n_failed} failed, {result.n_left} left.", highlight=False)
    elif plan.answers:
        stdout.print("Nothing was asked yet: --yes makes the answers.", highlight=False)


def gateway_answers(url: str | None, key: str) -> Callable[[PlannedAnswer], float]:
    """Return what asks a gateway for an answer, which its cache then keeps.

    Raises
    ------
    InputError
        If the address is malformed.
    MissingExtraError
        If the HTTP client is not installed.
    """
    client = server_client(url, key, timeout_s=120.0)
    import httpx2

    at = client.base_url

    def answer(planned: PlannedAnswer) -> float:
        body = {"model": "beast", "messages": [{"role": "user", "content": planned.text}]}
        try:
            response = client.post("/v1/chat/completions", json=body)
        except httpx2.HTTPError as error:
            raise UnavailableError(f"the gateway at {at} does not answer: {error}") from error
        if response.status_code in (401, 403):
            raise InputError(f"the gateway at {at} refuses the key in BEAST_API_KEY: it must be one of the tenant's")
        if response.status_code != 200:
            raise UnavailableError(f"the gateway at {at} answered {response.status_code}")
        return planned.cost_usd

    return answer


def _show(plan: WarmingPlan, hours: int) -> None:
    print_table(
        f"Warming within {plan.budget_usd:.6g} USD, for the next {hours} hours",
        ["tenant", "question", "expected hits", "USD", "hits per USD"],
        [
            [
                each.tenant_id,
                " ".join(each.text.split())[:_SHOWN_CHARACTERS],
                round(each.expected_hits, 3),
                round(each.cost_usd, 6),
                round(each.hits_per_usd, 1),
            ]
            for each in plan.answers[:_SHOWN]
        ],
        caption=f"{len(plan.answers)} of {plan.n_candidates} questions; the first {_SHOWN} are shown"
        if len(plan.answers) > _SHOWN
        else f"{len(plan.answers)} of {plan.n_candidates} questions",
    )
    stdout.print(
        f"Costs {plan.cost_usd:.4g} USD, for {plan.expected_hits:.1f} expected hits "
        f"that would have cost {plan.expected_saved_usd:.4g} USD as misses.",
        highlight=False,
    )
