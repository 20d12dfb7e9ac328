"""Turn outcomes into the feature matrix that a router learns from, and record it as one MLflow run.

    python pipelines/features.py --outcomes A.parquet --out beast-out/features
    python pipelines/features.py --outcomes A.parquet --executor dask --scheduler tcp://10.0.0.1:8786   # the same rows
    python pipelines/features.py --encoder hashing     # tiny: the made-up outcomes of data/sample, no weights needed

Writes features.parquet (query_id, then one column a feature) and spec.json, which makes the same rows again from other
prompts. `beast train` needs neither: it makes its own. This is for looking at features, and for learning elsewhere.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from beast_ml.cli.known_executor import add_executor_options, opened_executor
from beast_ml.cli.training_data import read_outcomes_at
from beast_ml.errors import BeastError, InputError
from beast_ml.features.table import FeatureTable, feature_table
from beast_ml.features.tuning import TUNED
from beast_ml.places import place
from beast_ml.policy.learner import ENCODERS, get_encoder
from beast_ml.registry.config import TrackingConfig
from beast_ml.registry.tracking import training_run
from beast_ml.settings import load_settings

SAMPLE = Path(__file__).parent.parent / "data" / "sample" / "outcomes.parquet"


def main(arguments: list[str]) -> int:
    """Run the pipeline and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--outcomes", type=place, default=SAMPLE)
    parser.add_argument("--out", type=Path, default=Path("beast-out/features"))
    # A tuned encoder is made while training a router: apart from one there is none.
    parser.add_argument("--encoder", choices=[name for name in ENCODERS if name != TUNED], default="static")
    parser.add_argument("--use-task", dest="context", action="append_const", const="task", default=[])
    parser.add_argument("--use-app", dest="context", action="append_const", const="app")
    add_executor_options(parser)
    options = parser.parse_args(arguments)
    try:
        tracking = TrackingConfig(**load_settings().tracking.model_dump())
        [outcomes] = read_outcomes_at(options.outcomes)
        with opened_executor(options.executor, options.scheduler) as executor:
            table = feature_table(outcomes.matrix, get_encoder(options.encoder), options.context, executor)
        table.write(options.out)
        _record(tracking, table, outcomes.matrix.digest(), options)
    except BeastError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    print(f"{table.rows.shape[0]:,} queries x {table.rows.shape[1]} features in {options.out}: {table.digest()}")
    return 0


def _record(tracking: TrackingConfig, table: FeatureTable, outcomes_digest: str, options: argparse.Namespace) -> None:
    name, spec = options.outcomes.stem, table.spec
    about = f"Features of the queries of `{name}`: {len(spec.names)} columns, spec `{spec.hash[:16]}`."
    tags = {"data": name, "encoder": spec.encoder, "kind of run": "features"}
    with training_run(tracking, f"features {name}", about, tags) as run:
        queries = {"queries": len(table.query_ids)}
        run.dataset(name, digest=outcomes_digest, source=str(options.outcomes), context="outcomes", profile=queries)
        run.dataset(
            f"{name} (features)",
            digest=table.digest(),
            source=str(options.out),
            context="features",
            columns={"query_id": "string"},
            profile=queries | {"features": len(spec.names)},
        )
        run.params(
            {
                "encoder": spec.encoder,
                "encoder_hash": spec.encoder_hash[:16],
                "context": ", ".join(options.context) or "none",
                "features": len(spec.names),
                "feature_hash": spec.hash[:16],
                "feature_digest": table.digest(),
                "boilerplate_lines": len(spec.boilerplate),
            }
        )
        run.artifact(options.out, "features")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
