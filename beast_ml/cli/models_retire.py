"""`beast models retire`: a router without one of its models, with what is known of the difference."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from beast_ml.cli.output import JsonOption, print_json, print_table, say, stdout
from beast_ml.errors import InputError

if TYPE_CHECKING:
    from beast_ml.operations.model_pins import Pin
    from beast_ml.operations.retirement import Retirement
    from beast_ml.registry.resolve import ResolvedBundle
    from beast_ml.settings import Settings

__all__ = ["retire_model"]

_DAYS: Final = 30


def retire_model(
    name: Annotated[str, typer.Argument(help="The candidate that is to leave.")],
    source: Annotated[
        str, typer.Option("--from", help="Registry address of the router it leaves.")
    ] = "models:/beast-router@champion",
    outcomes: Annotated[
        Path | None, typer.Option(help="Outcome table of all candidates, not trained on: then it is the evidence.")
    ] = None,
    prompts: Annotated[
        Path | None, typer.Option(help="Prompts such as the router sees; default: the outcomes', or your log's latest.")
    ] = None,
    anyway: Annotated[bool, typer.Option("--anyway", help="Also where something would fail without it.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the resamples.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Register the router without a model as challenger, say what changes, and what still leans on the model.

    Nothing serves the new version before `beast promote` has let it through the gates. Old logs are still learnt from:
    `beast train --log ... --pool` with the models that stay.
    """
    from beast_ml.cli.probe_files import logged_prompts, read_prompts
    from beast_ml.evaluation.outcome_files import read_outcome_set
    from beast_ml.logs.store import LogStore
    from beast_ml.operations.challenger import make_challenger
    from beast_ml.operations.retirement import retire
    from beast_ml.registry.config import TrackingConfig
    from beast_ml.registry.gates import Gates, judge
    from beast_ml.registry.resolve import resolve_version
    from beast_ml.settings import load_settings

    if not source.startswith("models:"):
        raise InputError(
            f"`--from` == {source!r} is no registry address: only a registered router has evidence to move"
        )
    settings = load_settings()
    tracking = TrackingConfig(**settings.tracking.model_dump())
    found = resolve_version(source, tracking)
    pins = _pins(name, found, settings)
    broken = [pin for pin in pins if pin.breaks]
    if broken and not anyway:
        raise InputError(
            f"{name!r} is still needed: "
            + "; ".join(f"{pin.what} ({pin.advice})" for pin in broken)
            + "; mend that first, or give --anyway"
        )
    measured = None
    if outcomes is not None:
        measured = read_outcome_set(outcomes).matrix.priced(settings.prices())
    if prompts is not None:
        texts = read_prompts(prompts).prompts
    elif measured is not None:
        texts = measured.prompts
    else:
        texts = logged_prompts(LogStore(settings.logs.store)).prompts
    result = retire(found, name, texts, measured, tracking=tracking, seed=seed)
    version = result.registered.version
    kept = make_challenger(version, tracking, settings.serving.state)
    report = judge(result.evidence, Gates(**settings.gates.model_dump()))
    if as_json:
        print_json(
            {
                "model": name,
                "version": version,
                "router": result.registered.uri,
                "challenger": kept is None,
                "effect": result.effect.to_dict(),
                "gates_pass": report.passed,
                "gates_fail": report.failures(),
                "pins": [pin.to_dict() for pin in pins],
            }
        )
        return
    _show(name, result, pins)
    lines = [f"the router without it: {result.registered.uri}"]
    lines.append(
        f"not made challenger: {kept}"
        if kept is not None
        else "it is the challenger now; to try it on some users first:\n"
        "  beast experiment create without-it --variant new=challenger:0.1 --guardrail quality=0.02"
    )
    if report.passed:
        lines.append(f"it passes the gates: beast promote --version {version}")
    else:
        lines.append(f"beast promote would refuse it: {report.failures()}")
        if outcomes is None:
            say("warning: predictions are counted at their worst; --outcomes, or an experiment, tells more")
    stdout.print("\n".join(lines), highlight=False, markup=False)


def _pins(name: str, found: ResolvedBundle, settings: Settings) -> list[Pin]:
    from beast_ml.bundle.manifest import verify
    from beast_ml.experiments.experiments_file import EXPERIMENTS_FILE, read_experiments
    from beast_ml.logs.store import LogStore
    from beast_ml.operations.model_pins import pins_in_log, pins_of_experiments, pins_of_settings
    from beast_ml.predictors.expected_quality import blended_usd_per_mtok

    manifest = verify(found.path)
    prices = {each.name: each.price for each in manifest.candidates} | settings.prices()
    dearness = {model: blended_usd_per_mtok(price) for model, price in prices.items() if price is not None}
    others = [model for model in manifest.models if model != name]
    cheapest = name in dearness and all(dearness[name] < dearness[model] for model in others if model in dearness)
    return [
        *pins_of_settings(
            name,
            others,
            [each.endpoint() for each in settings.endpoints],
            settings.cache.judge,
            has_budgets=bool(settings.budgets),
            is_cheapest=cheapest,
        ),
        *pins_of_experiments(read_experiments(settings.serving.state / EXPERIMENTS_FILE)),
        *pins_in_log(name, LogStore(settings.logs.store), _DAYS),
    ]


def _show(name: str, result: Retirement, pins: list[Pin]) -> None:
    effect = result.effect
    rows: list[tuple[str, Any]] = [
        (f"requests that went to {name}", f"{effect.share:.1%} of {effect.n_queries:,}"),
        ("who gets them", ", ".join(f"{model} {share:.0%}" for model, share in effect.heirs.items()) or "-"),
        ("quality, points", _interval(effect.quality, 100, "+.2f")),
    ]
    if effect.cost is not None:
        rows.append(("cost of a request, %", _interval(effect.cost, 100, "+.1f")))
    how = (
        "by outcomes it was not trained on, 95% intervals"
        if effect.by == "outcomes"
        else "by the router's own predictions, at their best and worst"
    )
    print_table(f"Without {name}, {how}", ("", "change"), rows)
    if pins:
        print_table(f"What leans on {name}", ("", "what to do"), [(pin.what, pin.advice) for pin in pins])


def _interval(interval: Any, unit: float, style: str) -> str:
    return f"{unit * interval.mean:{style}} [{unit * interval.low:{style}}, {unit * interval.high:{style}}]"
