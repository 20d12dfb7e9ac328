"""From text to decision: microseconds of one core, by length of the prompt, and where they go.

    BEAST_DATA_DIR=/path/to/sets python tests/benchmarks/decision_time.py     # prompts of all public sets
    python tests/benchmarks/decision_time.py                                  # the quickstart's prompts
    python tests/benchmarks/decision_time.py BUNDLE                           # a bundle folder of your own
    python tests/benchmarks/decision_time.py --prompts 100                    # tiny

Prints a table and one JSON object. Each prompt is timed once, after others have warmed up.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

import numpy as np

from beast_ml.benchmarks.decision_time import STAGES, decision_times
from beast_ml.serving.router import Router


def main(arguments: list[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, nargs="?")
    parser.add_argument("--prompts", type=int, default=1000, help="of each length")
    options = parser.parse_args(arguments)
    root = os.environ.get("BEAST_DATA_DIR")
    own = {"bundle": Router.load(options.bundle, rng=np.random.default_rng(0))} if options.bundle else None
    results = decision_times(Path(root) if root else None, routers=own, n_prompts=options.prompts)
    for name, times in results.items():
        print(f"{name}: {times.n_models} models, {times.n_features} features; median (p90, p99) us")
        print(f"{'tokens':>7}" + "".join(f"{stage:>20}" for stage in STAGES) + f"{'p99 / median':>14}")
        for n_tokens, stages in times.by_tokens.items():
            cells = (f"{t.median_us:.0f} ({t.p90_us:.0f}, {t.p99_us:.0f})" for t in map(stages.__getitem__, STAGES))
            print(
                f"{n_tokens:>7}"
                + "".join(f"{cell:>20}" for cell in cells)
                + f"{stages['decision'].p99_to_median:>14.1f}"
            )
        given = times.features_given
        print(f"features given {given.median_us:.0f} ({given.p90_us:.0f}, {given.p99_us:.0f}) us", end="; ")
        print(f"route_batch {times.batch_per_s:.0f} requests/s at ~50 tokens\n")
    print(json.dumps({name: times.to_dict() for name, times in results.items()}, indent=2))


if __name__ == "__main__":
    main(sys.argv[1:])
