"""`beast evaluate`: says whether routing pays, by how much, and how sure that is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from beast_ml.cli.evaluate_policy import policy
from beast_ml.cli.known_context import UseApp, UseTask, known_context
from beast_ml.cli.known_executor import ExecutorOption, SchedulerOption, opened_executor
from beast_ml.cli.known_prices import known_prices
from beast_ml.cli.output import Bars, JsonOption, one_of, print_json, print_table, progress_bar, say, stdout
from beast_ml.cli.training_data import read_outcomes_at
from beast_ml.places import place

if TYPE_CHECKING:
    from beast_ml.evaluation.bootstrap import Estimate
    from beast_ml.evaluation.routing import RoutingEvaluation

__all__ = ["app", "print_evaluation"]

app = typer.Typer(name="evaluate", help="Measure routers against what they must beat.", no_args_is_help=True)
app.command()(policy)


@app.callback()
def _evaluate() -> None:
    """Measure routers against what they must beat."""


@app.command()
def routing(
    train: Annotated[
        Path, typer.Option(parser=place, help="Outcome table to learn from (Parquet, JSON lines or CSV).")
    ],
    test: Annotated[
        Path, typer.Option(parser=place, help="Outcome table to decide on; only query ids and prompts are read.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for decisions.parquet, report.json and frontier.png.")],
    pool: Annotated[str | None, typer.Option(help="Models to choose from, separated by commas; default: all.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything that is drawn.")] = 0,
    encoder: Annotated[
        str, typer.Option(help="static, tuned (learnt from the outcomes, as fast), or minilm (slower).")
    ] = "static",
    cost: Annotated[
        str | None,
        typer.Option(help="cost_usd, latency_s or none; default: the first of them that the training data have."),
    ] = None,
    use_task: UseTask = False,
    use_app: UseApp = False,
    new_tasks: Annotated[
        bool, typer.Option("--new-tasks", help="Learn for tasks that the training table does not have.")
    ] = False,
    peers: Annotated[bool, typer.Option("--peers", help="Run installed external routers as well.")] = False,
    executor: ExecutorOption = "local",
    scheduler: SchedulerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train on one outcome table, decide on another, and say whether routing pays."""
    from beast_ml.evaluation.peers import installed_peers
    from beast_ml.evaluation.routing import RoutingConfig, evaluate_routing
    from beast_ml.features.kinds import KIND_TABLE
    from beast_ml.policy.learner import ENCODERS, RouterLearner, get_encoder
    from beast_ml.policy.utility import COST_KINDS
    from beast_ml.settings import load_settings

    config = RoutingConfig(
        pool=None if pool is None else tuple(name.strip() for name in pool.split(",") if name.strip()),
        cost=None if cost is None else one_of("--cost", cost, COST_KINDS),
        seed=seed,
    )
    encoder_name, settings = one_of("--encoder", encoder, ENCODERS), load_settings()
    prices, others = known_prices(settings), installed_peers() if peers else {}
    [training], [testing] = read_outcomes_at(train), read_outcomes_at(test, keep_every_query=True)
    with opened_executor(executor, scheduler) as workers, progress_bar() as progress:
        bars = Bars(progress)
        evaluation = evaluate_routing(
            training.matrix.priced(prices),
            testing.matrix.priced(prices),
            RouterLearner(
                encoder_name,
                prices=prices,
                kinds=KIND_TABLE.extended(settings.kinds),
                progress=bars.advance,
                groups="task" if new_tasks else "question",
                context=known_context(use_task, use_app),
                executor=workers,
            ),
            get_encoder(encoder_name, lambda done, total: bars.advance("distilling the encoder", done, total)),
            config,
            peers=others,
            provenance={"files": {"train": training.to_dict(), "test": testing.to_dict()}},
            say=say,
            must_score=False,
        )
    evaluation.write(out)
    if as_json:
        print_json(evaluation.report)
    else:
        print_evaluation(evaluation)
        picture = ", frontier.png" if evaluation.scores else ""
        stdout.print(f"wrote {out}/decisions.parquet, report.json{picture}", highlight=False, markup=False)


def print_evaluation(evaluation: RoutingEvaluation) -> None:
    """Print the table of routers and the verdict."""
    pool, data = evaluation.pool, evaluation.report["data"]["test"]
    for why in sorted(set(pool.left_out.values())):
        models = [model for model, reason in pool.left_out.items() if reason == why]
        stdout.print(f"left out ({why}): {', '.join(models)}", highlight=False, markup=False)
    if not evaluation.scores:
        stdout.print(evaluation.verdict.sentence, highlight=False, markup=False, style="bold")
        return
    model = evaluation.verdict.model
    names = {name: name for name in evaluation.scores if not name.startswith("single:")}
    rows = []
    for name, label in {f"single:{model}": "best single model", **names}.items():
        score, at = evaluation.scores[name], evaluation.scores[name].operating
        share = "-" if score.curve["share_of_gap"].value is None else _interval(score.curve["share_of_gap"])
        rows.append(
            (
                label,
                _number(score.curve["aiq"], ".3f"),
                share,
                _number(at.get("quality"), ".3f"),
                _number(at.get("cost"), ".3g"),
                _number(at.get("saving"), ".1%"),
            )
        )
    unit = {"cost_usd": ", USD", "latency_s": ", s", "none": ""}[pool.cost]
    print_table(
        f"{data['scored']} of {data['queries']} test queries scored, {len(pool.models)} models",
        ("router", "AIQ", "share of the gap", "quality", f"cost{unit}", "saving"),
        rows,
        caption=f"Share with its 95% interval; quality, cost and saving at the operating point, against {model}.",
    )
    stdout.print(evaluation.verdict.sentence, highlight=False, markup=False, style="bold")


def _interval(estimate: Estimate) -> str:
    """Return a share as ".24 [.18, .31]": short enough for a terminal of 80 columns."""
    shown = [
        f"{end:.2f}".replace("0.", ".", 1) for end in (estimate.value, estimate.low, estimate.high) if end is not None
    ]
    return shown[0] if len(shown) == 1 else f"{shown[0]} [{shown[1]}, {shown[2]}]"


def _number(estimate: Estimate | None, digits: str) -> str:
    return "-" if estimate is None or estimate.value is None else f"{estimate.value:z{digits}}"
