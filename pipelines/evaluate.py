"""Evaluate a learned router on held-out outcomes, and record what it scored as one MLflow run.

    python pipelines/evaluate.py --train A.parquet --test B.parquet --out beast-out/evaluation
    python pipelines/evaluate.py --out beast-out/evaluation --encoder hashing   # tiny: a split of data/sample

Writes decisions.parquet, report.json and frontier.png, and uploads the last two to the tracking store that
mlflow.yaml names. Nothing is registered: `beast train` does that.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from beast_ml.cli.known_executor import add_executor_options, opened_executor
from beast_ml.cli.known_prices import known_prices
from beast_ml.cli.training_data import read_outcomes_at
from beast_ml.errors import BeastError, InputError
from beast_ml.evaluation.routing import RoutingConfig, RoutingEvaluation, evaluate_routing
from beast_ml.features.kinds import KIND_TABLE
from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.operations.training import split_for_test
from beast_ml.places import place
from beast_ml.policy.learner import ENCODERS, RouterLearner, get_encoder
from beast_ml.policy.utility import COST_KINDS
from beast_ml.registry.config import TrackingConfig
from beast_ml.registry.tracking import training_run
from beast_ml.settings import load_settings

SAMPLE = Path(__file__).parent.parent / "data" / "sample" / "outcomes.parquet"
CURVE_METRICS = ("aiq", "share_of_gap", "saving_at_equal_quality")
POINT_METRICS = ("quality", "cost", "quality_gain", "saving", "regret", "optimal_selection")


def main(arguments: list[str]) -> int:
    """Run the pipeline and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=place, default=SAMPLE)
    parser.add_argument("--test", type=place, help="default: a fifth of the training questions, held out")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pool", help="models to choose from, separated by commas")
    parser.add_argument("--cost", choices=COST_KINDS)
    parser.add_argument("--encoder", choices=ENCODERS, default="static")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--use-task", dest="context", action="append_const", const="task", default=[])
    parser.add_argument("--use-app", dest="context", action="append_const", const="app")
    add_executor_options(parser)
    options = parser.parse_args(arguments)
    config = RoutingConfig(
        pool=None if options.pool is None else tuple(options.pool.split(",")),
        cost=options.cost,
        seed=options.seed,
    )
    try:
        settings = load_settings()
        prices = known_prices(settings)
        read = _outcomes(options.train, options.test, options.seed)
        train, test = (outcomes.priced(prices) for outcomes in read)
        with opened_executor(options.executor, options.scheduler) as executor:
            learner = RouterLearner(
                options.encoder,
                prices=prices,
                kinds=KIND_TABLE.extended(settings.kinds),
                context=tuple(options.context),
                executor=executor,
            )
            evaluation = evaluate_routing(train, test, learner, get_encoder(options.encoder), config, say=_say)
        evaluation.write(options.out)
        _record(TrackingConfig(**settings.tracking.model_dump()), evaluation, options)
    except BeastError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    print(evaluation.verdict.sentence)
    return 0


def _outcomes(train: Path, test: Path | None, seed: int) -> tuple[OutcomeMatrix, OutcomeMatrix]:
    if test is not None:
        [known], [asked] = read_outcomes_at(train), read_outcomes_at(test, keep_every_query=True)
        return known.matrix, asked.matrix
    [known] = read_outcomes_at(train)
    return split_for_test(known.matrix, seed)


def _record(tracking: TrackingConfig, evaluation: RoutingEvaluation, options: argparse.Namespace) -> None:
    data = evaluation.report["data"]
    name = f"evaluate {options.train.stem}"
    with training_run(tracking, name, evaluation.verdict.sentence, {"kind of run": "evaluation"}) as run:
        for role, path in (("train", options.train), ("test", options.test or options.train)):
            run.dataset(
                path.stem,
                digest=data[role]["digest"],
                source=str(path),
                context={"train": "training", "test": "test"}[role],
                profile={"queries": data[role]["queries"]},
            )
        settings = evaluation.report["settings"]
        run.params({"pool": ", ".join(evaluation.pool.models), "cost": evaluation.pool.cost, **settings})
        for router, score in evaluation.scores.items():
            values = {metric: score.curve[metric].value for metric in CURVE_METRICS}
            values |= {metric: score.operating[metric].value for metric in POINT_METRICS if metric in score.operating}
            run.metrics({f"{router}/{metric}": value for metric, value in values.items() if value is not None})
        run.tags({"routing pays": "yes" if evaluation.verdict.pays else "no", "verdict": evaluation.verdict.sentence})
        run.artifact(options.out / "report.json")
        run.artifact(options.out / "frontier.png")


def _say(text: str) -> None:
    print(text, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
