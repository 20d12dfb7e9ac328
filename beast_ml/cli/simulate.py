"""`beast logs simulate`: a production-like log with known counterfactuals, from any outcome table."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from beast_ml.cli.named_numbers import named_numbers
from beast_ml.cli.output import JsonOption, print_json, print_table, progress_bar, stderr, stdout

if TYPE_CHECKING:
    from beast_ml.logs.simulate import SimulationConfig

__all__ = ["simulate_log"]


def simulate_log(
    outcomes: Annotated[list[Path], typer.Argument(help="Outcome tables: Parquet, JSON lines or CSV.")],
    out: Annotated[Path, typer.Option(help="A new folder for the log, its truth and simulation.json.")],
    requests: Annotated[int, typer.Option(help="Number of requests.")] = 100_000,
    seed: Annotated[int, typer.Option(help="The same seed writes the same bytes.")] = 0,
    policy: Annotated[str, typer.Option(help="uniform, epsilon-greedy, softmax or deterministic.")] = "epsilon-greedy",
    epsilon: Annotated[float, typer.Option(help="Share of uniform exploration.")] = 0.05,
    temperature: Annotated[float, typer.Option(help="Of the softmax, in units of quality.")] = 0.1,
    model: Annotated[str | None, typer.Option(help="Preferred model; default: best mean utility.")] = None,
    per_task: Annotated[bool, typer.Option("--per-task", help="Prefer by each task's mean utility.")] = False,
    willingness: Annotated[
        float | None, typer.Option(help="USD per unit of quality; without it cost plays no part in utility.")
    ] = None,
    arrivals: Annotated[str | None, typer.Option(help="poisson (default), diurnal or trace.")] = None,
    days: Annotated[float, typer.Option(help="Days over which the requests are expected.")] = 7.0,
    start: Annotated[datetime, typer.Option(help="Time zero, UTC.")] = datetime(2026, 1, 5),  # noqa: DTZ001 - typer shows it; UTC is added below
    trace: Annotated[Path | None, typer.Option(help="A real trace with a timestamp_s column; it is looped.")] = None,
    trace_speed: Annotated[float, typer.Option(help="2 plays the trace twice as fast.")] = 1.0,
    tenants: Annotated[int, typer.Option(help="Number of tenants, of Zipf sizes.")] = 10,
    users: Annotated[int, typer.Option(help="Number of users in all.")] = 500,
    task_concentration: Annotated[float, typer.Option(help="Small: tenants specialise in tasks.")] = 2.0,
    repeat_zipf: Annotated[float, typer.Option(help="Zipf exponent of query popularity; 0: all alike.")] = 1.0,
    paraphrase_share: Annotated[float, typer.Option(help="Share of lightly reworded prompts.")] = 0.0,
    rejected_rate: Annotated[float, typer.Option(help="Share turned away before routing.")] = 0.0,
    failure_rate: Annotated[float, typer.Option(help="Mean share of calls that fail, over models.")] = 0.0,
    model_failure: Annotated[
        list[str] | None, typer.Option(help="NAME=RATE, the failure rate of one model; repeatable.")
    ] = None,
    max_attempts: Annotated[int, typer.Option(help="Calls for one request at most, fallbacks included.")] = 2,
    label_share: Annotated[float, typer.Option(help="Share of answers that get a quality label.")] = 1.0,
    label_delay_h: Annotated[float, typer.Option(help="Mean hours until the label.")] = 0.0,
    jsonl: Annotated[bool, typer.Option("--jsonl", help="Write requests.jsonl instead of daily Parquet.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a routed-request log from outcomes whose counterfactuals are known.

    A policy with known propensities chooses among the models of each query; models fail and others step in; labels come
    late or never. OUT/truth holds what every candidate would have answered, OUT/simulation.json every parameter and the
    true value of the logging policy and of each single model.
    """
    from beast_ml.logs.simulate import (
        ArrivalConfig,
        FailureConfig,
        LabelConfig,
        PolicyConfig,
        SimulationConfig,
        TrafficConfig,
    )

    config = SimulationConfig(
        requests=requests,
        policy=PolicyConfig(
            kind=policy,  # type: ignore[arg-type]  # the configuration checks the word
            epsilon=epsilon,
            temperature=temperature,
            model=model,
            per="task" if per_task else "model",
            willingness_to_pay=willingness,
        ),
        arrivals=ArrivalConfig(
            kind=arrivals or ("trace" if trace else "poisson"),  # type: ignore[arg-type]  # checked there as well
            start=start if start.tzinfo else start.replace(tzinfo=UTC),
            days=days,
            trace=trace,
            trace_speed=trace_speed,
        ),
        traffic=TrafficConfig(
            tenants=tenants,
            users=users,
            task_concentration=task_concentration,
            repeat_zipf=repeat_zipf,
            paraphrase_share=paraphrase_share,
            rejected_rate=rejected_rate,
        ),
        failures=FailureConfig(
            rate=failure_rate,
            model_rates=named_numbers("--model-failure", model_failure or [], "gpt-4o=0.02"),
            max_attempts=max_attempts,
        ),
        labels=LabelConfig(share=label_share, mean_delay_h=label_delay_h),
    )
    description = _run(outcomes, config, seed, out, jsonl=jsonl)
    if as_json:
        print_json({"folder": out, **description})
    else:
        _show(out, description)


def _run(outcomes: list[Path], config: SimulationConfig, seed: int, out: Path, *, jsonl: bool) -> dict[str, Any]:
    from beast_ml.logs.ingest_outcomes import read_outcomes
    from beast_ml.logs.outcomes import OutcomeMatrix
    from beast_ml.logs.simulate import write_simulation

    ingest = read_outcomes(outcomes)
    if ingest.n_quarantined:
        reasons = ", ".join(f"{reason} ({n})" for reason, n in ingest.reasons.items())
        stderr.print(f"{ingest.n_quarantined} outcome rows were left out: {reasons}", highlight=False)
    with progress_bar() as progress:
        task = progress.add_task("simulating requests", total=config.requests)
        summary = write_simulation(
            OutcomeMatrix.from_frame(ingest.frame),
            config,
            seed,
            out,
            form="jsonl" if jsonl else "parquet",
            on_progress=lambda n: progress.advance(task, n),
        )
    return dict(summary.description)


def _show(out: Path, description: dict[str, Any]) -> None:
    counts, values = description["counts"], description["true_value"]
    statuses = ", ".join(f"{n:,} {status}" for status, n in counts["status"].items())
    rows = [
        (
            name,
            *("-" if value[key] is None else value[key] for key in ("quality", "cost_usd", "latency_s")),
            value["share"],
        )
        for name, value in [
            (f"{description['policy_version']} (the log)", values["logging_policy"]),
            *sorted(values["single_models"].items(), key=lambda item: -(item[1]["quality"] or 0.0)),
        ]
    ]
    print_table(
        "True value of policies on these requests",
        ("policy", "quality", "cost USD", "latency s", "can serve"),
        rows,
        caption="per request, if no call fails; a single model only on the queries it has an outcome for",
    )
    stdout.print(
        f"{counts['requests']:,} requests ({statuses}), {counts['served_by_fallback']:,} served by a fallback, "
        f"{counts['labelled']:,} labelled, {description['n_queries_asked']:,} different queries",
        highlight=False,
    )
    stdout.print(
        f"log in {out}, its truth in {out / 'truth'}, parameters in {out / 'simulation.json'}", highlight=False
    )
