"""`beast route`, `beast estimate`: what the champion would choose, and what each candidate would cost."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from beast_ml.cli.known_prices import price_text
from beast_ml.cli.output import JsonOption, print_json, print_table, stdout
from beast_ml.errors import InputError

if TYPE_CHECKING:
    from beast_ml.domain import Forecast, ModelForecast, RoutingDecision
    from beast_ml.serving.router import Router

__all__ = ["app", "print_decision"]

app = typer.Typer()

Prompt = Annotated[str, typer.Argument(help='The prompt; "-" reads it from standard input.')]
Source = Annotated[
    str, typer.Option("--router", help="Bundle folder, or registry address such as models:/beast-router/3.")
]
Context = Annotated[list[str] | None, typer.Option(help="A known fact as key=value, e.g. task=code; repeatable.")]
_CHAMPION = "models:/beast-router@champion"


@app.command()
def route(
    prompt: Prompt,
    router: Source = _CHAMPION,
    context: Context = None,
    tenant: Annotated[str, typer.Option(help="Whose request it is.")] = "default",
    min_quality: Annotated[float | None, typer.Option(help="Floor on predicted quality, 0..1.")] = None,
    max_cost_usd: Annotated[float | None, typer.Option(help="Ceiling on predicted cost, USD.")] = None,
    max_latency_s: Annotated[float | None, typer.Option(help="Ceiling on predicted latency, seconds.")] = None,
    candidates: Annotated[str | None, typer.Option(help="Only these models, separated by commas.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Say which model should answer a prompt, with what probability it was chosen, and why."""
    decision = _load(router).route(
        _text(prompt),
        context=_context(context),
        tenant=tenant,
        min_quality=min_quality,
        max_cost_usd=max_cost_usd,
        max_latency_s=max_latency_s,
        candidates=None if candidates is None else [name.strip() for name in candidates.split(",") if name.strip()],
        explain=True,
    )
    if as_json:
        import msgspec

        plain = msgspec.to_builtins(decision)
        chosen = next(forecast for forecast in plain["forecasts"] if forecast["model"] == decision.model)
        predicted = {
            name: chosen[name]["value"] if chosen[name] else None
            for name in ("quality", "cost_usd", "latency_s", "ttft_s")
        }
        print_json({"predicted": predicted, **plain})
        return
    print_decision(decision)


@app.command()
def estimate(prompt: Prompt, router: Source = _CHAMPION, context: Context = None, as_json: JsonOption = False) -> None:
    """Say what each candidate would cost, how good and how slow it would be, before anything is sent."""
    forecasts = _load(router).forecast(_text(prompt), context=_context(context))
    if as_json:
        import msgspec

        print_json({"candidates": msgspec.to_builtins(forecasts)})
        return
    _print_forecasts("before the request", forecasts)


def print_decision(decision: RoutingDecision) -> None:
    """Print a decision with its forecasts and the reason."""
    stdout.print(f"[bold]{decision.model}[/bold]  (propensity {decision.propensity:g})", highlight=False)
    if decision.request_kind is not None:
        stdout.print(f"kind of request: {decision.request_kind}", highlight=False, markup=False)
    if decision.explanation is not None:
        why = decision.explanation
        stdout.print(why.reason, highlight=False, markup=False)
        if why.runner_up is not None and why.runner_up_extra_quality is not None:
            cost = (
                ""
                if why.runner_up_extra_cost_usd is None
                else f", {'+' if why.runner_up_extra_cost_usd >= 0 else '-'}${abs(why.runner_up_extra_cost_usd):.2g}"
            )
            stdout.print(
                f"runner-up: {why.runner_up} ({100 * why.runner_up_extra_quality:+.1f} points of quality{cost})",
                highlight=False,
                markup=False,
            )
    stdout.print(f"fallbacks: {', '.join(decision.fallbacks) or 'none'}", highlight=False, markup=False)
    _print_forecasts("expected of every candidate", decision.forecasts)


def _print_forecasts(title: str, forecasts: tuple[ModelForecast, ...]) -> None:
    columns = {
        "quality": [_interval(f.quality) for f in forecasts],
        "cost, USD": [_interval(f.cost_usd) for f in forecasts],
        "latency, s": [_interval(f.latency_s) for f in forecasts],
        "first token, s": [_interval(f.ttft_s) for f in forecasts],
        "output tokens": [_interval(f.output_tokens) for f in forecasts],
        "price": ["" if f.price is None else price_text(f.price) for f in forecasts],
        "price from": ["" if f.price is None else f.price.source for f in forecasts],
        "fails": ["" if f.failure_probability is None else f"{f.failure_probability:.1%}" for f in forecasts],
    }
    known = {name: cells for name, cells in columns.items() if any(cells)}
    rows = [[f.model, *(cells[i] for cells in known.values())] for i, f in enumerate(forecasts)]
    print_table(title, ("model", *known), rows, caption="mean [90% interval]")


def _interval(forecast: Forecast | None) -> str:
    return "" if forecast is None else f"{forecast.value:.3g} [{forecast.low:.3g}, {forecast.high:.3g}]"


def _load(source: str) -> Router:
    from beast_ml.serving.router import Router
    from beast_ml.settings import load_settings

    settings = load_settings()
    return Router.load(source, tracking_uri=settings.tracking.uri, prices=settings.prices())


def _text(prompt: str) -> str:
    try:
        text = sys.stdin.buffer.read().decode("utf-8") if prompt == "-" else prompt
    except UnicodeDecodeError as error:
        raise InputError(f"standard input is not UTF-8 ({error}): convert it first") from error
    if not text.strip():
        raise InputError("the prompt is empty, give some text to route")
    return text


def _context(pairs: list[str] | None) -> dict[str, str]:
    context = {}
    for pair in pairs or []:
        key, separator, value = pair.partition("=")
        if not separator or not key:
            raise InputError(f"`--context` == {pair!r}, must be key=value, e.g. task=code")
        context[key] = value
    return context
