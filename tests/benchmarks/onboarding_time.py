"""How long it takes to bring a new model into a router: from its endpoint and price to a registered challenger.

    python tests/benchmarks/onboarding_time.py                               # 50 probes, answers of 2 s
    python tests/benchmarks/onboarding_time.py --probes 5 --answer-s 0.1     # tiny

A router of three made-up models is registered first. Then everything that a person types is run as they would type it,
against a fake provider in a process of its own that answers as slowly as a real one, the judge among its models: the
model is added, the same command is run again (nothing is asked twice), and the experiment is prepared. Prints JSON:
seconds of each command, what the calls cost, and what was learnt of the model, whose true quality is 0.7.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from beast_ml.bundle.manifest import verify
from beast_ml.bundle.write import write_bundle
from beast_ml.operations.bundle_registration import register_bundle
from beast_ml.policy.learner import RouterLearner
from beast_ml.predictors.pool import PoolFamilies
from beast_ml.registry.config import TrackingConfig
from beast_ml.registry.promotion import promote
from beast_ml.testing.fake_provider import FakeProviderProcess, Outcome, ProviderScript
from beast_ml.testing.registry import make_evidence
from beast_ml.testing.worlds import make_world


def measure(folder: Path, n_probes: int, answer_s: float) -> dict[str, Any]:
    """Return times and findings of an onboarding in an empty folder."""
    world = make_world(np.random.default_rng(0), 300)
    write_bundle(
        RouterLearner("hashing", families=PoolFamilies.of_names(("ridge",))).fit(world.outcomes), folder / "bundle"
    )
    tracking = TrackingConfig(f"sqlite:///{folder}/mlflow.db", folder / "artifacts")
    evidence = make_evidence(data_digest=verify(folder / "bundle").training_digest)
    register_bundle(folder / "bundle", evidence, tracking=tracking, name="outcomes")
    promote(tracking)
    prompts = {"query_id": world.outcomes.query_ids, "prompt": world.outcomes.prompts}
    pd.DataFrame(prompts).to_csv(folder / "prompts.csv", index=False)

    answers = (Outcome(latency_s=answer_s, output_tokens=300),)
    marks = tuple(Outcome(text=mark, latency_s=answer_s / 4) for mark in ("10",) * 7 + ("0",) * 3)
    script = ProviderScript({"newest": answers, "judge": marks}, order="by_prompt")
    with FakeProviderProcess(script) as provider:
        settings = {
            "tracking": {"uri": tracking.uri, "artifacts": str(tracking.artifacts)},
            "endpoints": [{"name": "judge", "model": "judge", "base_url": provider.base_url()}],
            "candidates": [{"name": "judge", "input_usd_per_mtok": 2.5, "output_usd_per_mtok": 10.0}],
        }
        (folder / "mlflow.yaml").write_text(yaml.safe_dump(settings))
        command = ["models", "add", "newest", "--endpoint", provider.base_url(), "--price", "0.5,1.5", "--prompts"]
        command += ["prompts.csv", "--judge", "judge", "--probe", str(n_probes), "--json"]
        first_s, added = _run(folder, [*command, "--write"])
        n_calls = provider.counts()["calls"]
        again_s, _ = _run(folder, command)
        asked_again = provider.counts()["calls"] - n_calls
    arms = ["--variant", "new=challenger:0.1", "--guardrail", "quality=0.02"]
    file = ["--experiments", str(folder / "data" / "serving" / "experiments.json"), "--json"]
    experiment_s, _ = _run(folder, ["experiment", "create", "onboarding", *arms, *file])
    return {
        "add_s": first_s,
        "of_which_asking_s": added["asked"]["seconds"],
        "again_s": again_s,
        "experiment_s": experiment_s,
        "commands": 2,
        "calls": n_calls,
        "asked_again": asked_again,
        "spent_usd": added["asked"]["spent_usd"],
        "expected_before": added["prior_quality"],
        "expected_after": added["expected_quality"]["newest"],
        "challenger": added["challenger"],
    }


def _run(folder: Path, command: list[str]) -> tuple[float, dict[str, Any]]:
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "beast_ml.cli", *command], cwd=folder, capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(done.stderr)
    told: dict[str, Any] = json.loads(done.stdout)
    return seconds, told


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--probes", type=int, default=50)
    parser.add_argument("--answer-s", type=float, default=2.0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="beast-onboarding-") as scratch:
        print(json.dumps(measure(Path(scratch), asked.probes, asked.answer_s), indent=2))
