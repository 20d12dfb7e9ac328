"""Make a routed-request log with known counterfactuals from outcome tables, and record it as one MLflow run.

    python pipelines/simulate.py OUTCOMES.parquet --out beast-out/simulated --requests 1000000 --policy softmax
    python pipelines/simulate.py --out beast-out/simulated         # tiny: the made-up outcomes of data/sample
    python pipelines/simulate.py --sample data/sample              # make that sample again

The log, its truth and simulation.json land in OUT; `beast logs simulate` has every knob.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from beast_ml.errors import BeastError, InputError
from beast_ml.logs.ingest_outcomes import read_outcomes
from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.logs.simulate import (
    ArrivalConfig,
    FailureConfig,
    LabelConfig,
    PolicyConfig,
    SimulationConfig,
    SimulationSummary,
    TrafficConfig,
    write_simulation,
)
from beast_ml.logs.simulate.config import POLICY_KINDS
from beast_ml.registry.config import TrackingConfig
from beast_ml.registry.tracking import training_run
from beast_ml.settings import load_settings
from beast_ml.testing.sample import write_sample

SAMPLE = Path(__file__).parent.parent / "data" / "sample" / "outcomes.parquet"


def main(arguments: list[str]) -> int:
    """Run the pipeline and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("outcomes", type=Path, nargs="*", default=[SAMPLE])
    parser.add_argument("--out", type=Path, default=Path("beast-out/simulated"))
    parser.add_argument("--requests", type=int, default=2_000)
    parser.add_argument("--policy", choices=POLICY_KINDS, default="epsilon-greedy")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sample", type=Path, help="write the sample of data/sample here instead")
    options = parser.parse_args(arguments)
    if options.sample:
        options.sample.mkdir(parents=True, exist_ok=True)
        write_sample(options.sample)
        print(f"sample written to {options.sample}")
        return 0
    config = SimulationConfig(
        requests=options.requests,
        policy=PolicyConfig(kind=options.policy),
        arrivals=ArrivalConfig(kind="diurnal"),
        traffic=TrafficConfig(paraphrase_share=0.1),
        failures=FailureConfig(rate=0.01),
        labels=LabelConfig(share=0.3, mean_delay_h=24.0),
    )
    try:
        tracking = TrackingConfig(**load_settings().tracking.model_dump())
        outcomes = OutcomeMatrix.from_frame(read_outcomes(options.outcomes).frame)
        summary = write_simulation(outcomes, config, options.seed, options.out)
        _record(tracking, summary, options)
    except BeastError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    value = summary.description["true_value"]["logging_policy"]
    print(
        f"{options.requests:,} requests in {summary.folder}; true quality of the logging policy {value['quality']:.4f}"
    )
    return 0


def _record(tracking: TrackingConfig, summary: SimulationSummary, options: argparse.Namespace) -> None:
    told, sources = summary.description, ", ".join(str(path) for path in options.outcomes)
    about = (
        f"{options.requests:,} requests of `{told['policy_version']}`, drawn from {sources} with seed {options.seed}."
    )
    with training_run(tracking, "simulate", about, {"kind of run": "simulation"}) as run:
        run.params({"requests": options.requests, "policy": told["policy_version"], "seed": options.seed})
        run.dataset("outcomes", digest=told["outcomes_digest"], source=sources, context="outcomes")
        value = told["true_value"]["logging_policy"]
        run.metrics({f"true_value/{name}": float(figure) for name, figure in value.items() if figure is not None})
        run.artifact(summary.folder / "simulation.json")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
