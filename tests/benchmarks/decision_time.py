"""From text to decision: microseconds a request on one core, by length of the prompt, and where they go.

    python tests/benchmarks/decision_time.py BUNDLE          # a bundle folder of your own
    python tests/benchmarks/decision_time.py                 # a made-up router with the static encoder and 30 models
    python tests/benchmarks/decision_time.py --seconds 0.2   # tiny

Prints a table and one JSON object. Times are medians over prompts of their own, so that nothing is answered twice.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from beast_ml.bundle.write import write_bundle
from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.policy.learner import RouterLearner
from beast_ml.serving.router import Router
from beast_ml.testing.worlds import make_world

TOKENS = (20, 50, 190, 330)
N_PROMPTS = 200
TEXT = """the a of to and in is that for it with as was on be at by this from which or an are not have
river city theory energy market function number system history music language model answer question
compute explain compare write integral python return matrix patient contract station weather"""


def make_bundle(folder: Path, n_models: int = 30) -> Path:
    """Write a router for some made-up models, with the static encoder."""
    rng = np.random.default_rng(0)
    outcomes = make_world(rng, 400).outcomes
    columns = np.arange(n_models) % len(outcomes.models)

    def widened(values: np.ndarray) -> np.ndarray:
        return values[:, columns] * rng.uniform(0.9, 1.0, (len(values), n_models))

    wide: OutcomeMatrix = replace(
        outcomes,
        models=tuple(f"model-{j:02d}" for j in range(n_models)),
        quality=widened(outcomes.quality),
        cost_usd=widened(outcomes.cost_usd),
        input_tokens=np.full((outcomes.n_queries, n_models), np.nan),
        output_tokens=np.full((outcomes.n_queries, n_models), np.nan),
        latency_s=np.full((outcomes.n_queries, n_models), np.nan),
    )
    write_bundle(RouterLearner("static").fit(wide), folder)
    return folder


def median_us(call: Callable[[str], object], prompts: list[str], seconds: float) -> float:
    """Return the median time of a call over prompts, in microseconds, measured for some seconds."""
    for prompt in prompts[:20]:
        call(prompt)
    spent: list[int] = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        for prompt in prompts:
            started = time.perf_counter_ns()
            call(prompt)
            spent.append(time.perf_counter_ns() - started)
    return statistics.median(spent) / 1000


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, nargs="?")
    parser.add_argument("--seconds", type=float, default=2.0, help="for each figure")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        router = Router.load(options.bundle or make_bundle(Path(scratch) / "bundle"), rng=np.random.default_rng(0))
    features, predictors = router.bundle.features, router.bundle.predictors
    rng = np.random.default_rng(1)
    result = {}
    sys.stdout.write(
        f"{'tokens':>6} {'encode':>8} {'features':>9} {'predict':>8} {'decision':>9} {'explained':>10}  us\n"
    )
    for n_tokens in TOKENS:
        prompts = [" ".join(rng.choice(TEXT.split(), n_tokens - 1)) + "?" for _ in range(N_PROMPTS)]
        row = features.row(prompts[0])[None]
        figures = {
            "encode": median_us(lambda prompt: features.encoder.encode([prompt]), prompts, options.seconds),
            "features": median_us(features.row, prompts, options.seconds),
            "predict": median_us(lambda _, row=row: predictors.predict(row), prompts, options.seconds),
            "decision": median_us(router.route, prompts, options.seconds),
            "explained": median_us(lambda prompt: router.route(prompt, explain=True), prompts, options.seconds),
        }
        result[str(n_tokens)] = {name: round(figure, 1) for name, figure in figures.items()}
        sys.stdout.write("{:>6} {:>8.0f} {:>9.0f} {:>8.0f} {:>9.0f} {:>10.0f}\n".format(n_tokens, *figures.values()))
    report = {"models": len(router.models), "features": features.dim, "median_us_by_tokens": result}
    sys.stdout.write(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
