"""Learn a router from outcomes or from a log, measure it on untouched queries, and register it: one MLflow run.

    python pipelines/train.py --outcomes A.parquet [--test B.parquet]
    python pipelines/train.py --log data/logs                          # a store that pipelines/ingest.py filled
    python pipelines/train.py --log s3://logs/store --executor dask --scheduler tcp://10.0.0.1:8786
    python pipelines/train.py --encoder hashing --out beast-out/trained  # tiny: the made-up outcomes of data/sample

The same as `beast train`, for schedules and notebooks. With --out the bundle and its evidence are written there too:
what pipelines/register.py brings into another registry. Nothing serves before `beast promote` let it through.
On a Dask cluster the router is the same, to the bit: its workers scan the log, make features and fit trees by part.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from beast_ml.bundle.write import write_bundle
from beast_ml.cli.known_executor import add_executor_options, opened_executor
from beast_ml.cli.known_exploration import known_exploration
from beast_ml.cli.known_prices import known_prices
from beast_ml.cli.output import say
from beast_ml.cli.training_data import read_log_at, read_outcomes_at
from beast_ml.domain import Price
from beast_ml.errors import BeastError, InputError
from beast_ml.evaluation.routing import RoutingConfig
from beast_ml.features.kinds import KIND_TABLE
from beast_ml.operations.log_training import LogTrainingResult, train_from_log
from beast_ml.operations.training import TrainingResult, split_for_test
from beast_ml.operations.training import train as train_router
from beast_ml.places import place
from beast_ml.policy.learner import ENCODERS, RouterLearner
from beast_ml.registry.config import TrackingConfig
from beast_ml.settings import load_settings

SAMPLE = Path(__file__).parent.parent / "data" / "sample" / "outcomes.parquet"


def main(arguments: list[str]) -> int:
    """Run the pipeline and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--outcomes", type=place, default=SAMPLE)
    source.add_argument("--log", type=place, help="a log store")
    parser.add_argument("--test", type=place, help="outcomes to measure on; default: a fifth of the questions")
    parser.add_argument("--encoder", choices=ENCODERS, default="static")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--use-task", dest="context", action="append_const", const="task", default=[])
    parser.add_argument("--use-app", dest="context", action="append_const", const="app")
    parser.add_argument("--out", type=Path, help="also write bundle/ and evidence.json here")
    parser.add_argument("--requests", type=int, help="of a log, at most so many; 0: all; default: 100,000")
    add_executor_options(parser)
    options = parser.parse_args(arguments)
    if options.log and options.test:
        parser.error("--test goes with --outcomes; a log is split and judged by itself")
    try:
        settings = load_settings()
        tracking, prices = TrackingConfig(**settings.tracking.model_dump()), known_prices(settings)
        with opened_executor(options.executor, options.scheduler) as executor:
            learner = RouterLearner(
                options.encoder,
                prices=prices,
                kinds=KIND_TABLE.extended(settings.kinds),
                context=tuple(options.context),
                exploration=known_exploration(settings) if options.log else None,
                executor=executor,
            )
            learn = _from_log if options.log else _from_outcomes
            result = learn(options, tracking, learner, prices)
        if options.out:
            run_ids = {"training": result.run_id}
            write_bundle(result.router, options.out / "bundle", headline=result.evidence.metrics(), run_ids=run_ids)
            (options.out / "evidence.json").write_text(result.evidence.to_json() + "\n", "utf-8")
    except BeastError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    print(result.sentence if isinstance(result, LogTrainingResult) else result.evaluation.verdict.sentence)
    print(f"registered {result.registered.uri}; next: beast promote")
    return 0


def _from_outcomes(
    options: argparse.Namespace, tracking: TrackingConfig, learner: RouterLearner, prices: Mapping[str, Price]
) -> TrainingResult:
    sets = read_outcomes_at(*(path for path in (options.outcomes, options.test) if path is not None))
    given = [each.matrix.priced(prices) for each in sets]
    training, test = given if options.test else split_for_test(given[0], options.seed)
    return train_router(
        training,
        test,
        tracking=tracking,
        learner=learner,
        config=RoutingConfig(seed=options.seed),
        name=options.outcomes.stem,
        sources={"training": str(options.outcomes), "test": str(options.test or options.outcomes)},
        say=say,
    )


def _from_log(
    options: argparse.Namespace, tracking: TrackingConfig, learner: RouterLearner, prices: Mapping[str, Price]
) -> LogTrainingResult:
    sample = read_log_at(options.log, options.requests, learner.executor)
    return train_from_log(
        sample.logged.priced(prices),
        tracking=tracking,
        learner=learner,
        seed=options.seed,
        name=options.log.name,
        source=str(options.log),
        drawn_from=sample.n_usable,
        say=say,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
