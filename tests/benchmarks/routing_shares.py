"""Share of the zero-router-to-oracle gap closed on the public outcome sets, beside the baselines of the same run.

    BEAST_DATA_DIR=/path/to/sets python tests/benchmarks/routing_shares.py [--sets quickstart,messplus] [--json FILE]

Each set is split once by question (70% to learn from, 30% to decide on, the quickstart by its own two files); intervals
are 95% paired bootstraps over the test queries. Sets that are not there are named and left out. Two to four minutes a
set on two cores; `--sets quickstart` needs no data folder.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from beast_ml.evaluation.routing import RoutingConfig, evaluate_routing
from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.logs.public.quickstart import load_quickstart
from beast_ml.logs.splits import holdout_mask
from beast_ml.policy.learner import EncoderName, RouterLearner, get_encoder

TEST_FRACTION = 0.3
BFCL_POOL = (
    "claude-3-5-sonnet-20240620",
    "claude-3-haiku-20240307",
    "claude-3-opus-20240229",
    "command-r-plus",
    "gemini-1.5-flash-preview-0514",
    "gemini-1.5-pro-preview-0514",
    "gpt-3.5-turbo-0125",
    "gpt-4-turbo-2024-04-09",
    "gpt-4o-2024-05-13",
    "gpt-4o-mini-2024-07-18",
    "open-mixtral-8x22b",
    "yi-large-fc",
)


def _mmlu(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[~frame["contaminated"].astype(bool) & frame["task"].str.startswith("mmlu")]


def _bfcl(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["model"].isin(BFCL_POOL)]


def _mmlu_pro(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["model"] != "DeepSeek-Coder-V2"]  # misses a seventh of the questions


def _zeroeval(frame: pd.DataFrame) -> pd.DataFrame:
    by_model = frame.groupby("model")
    whole = (by_model.size() >= 0.95 * frame["query_id"].nunique()) & (
        by_model["cost_usd"].count() / by_model.size() > 0.99
    )
    return frame[frame["model"].isin(whole.index[whole])]


SETS: dict[str, tuple[str, Callable[[pd.DataFrame], pd.DataFrame]]] = {
    "routellm MMLU": ("routellm_pair", _mmlu),
    "messplus": ("messplus", lambda frame: frame),
    "routerbench3": ("routerbench3", lambda frame: frame),
    "bfcl": ("bfcl_2024_08", _bfcl),
    "zeroeval": ("zeroeval", _zeroeval),
    "mmlu_pro": ("mmlu_pro", _mmlu_pro),
}
SHOWN = ("beast", "knn", "best_per_task", "best_per_true_task", "random")


def load(name: str, folder: Path | None) -> tuple[OutcomeMatrix, OutcomeMatrix] | None:
    """Return (train, test), or None when the set is not there."""
    if name == "quickstart":
        training, test = load_quickstart()
        return OutcomeMatrix.from_frame(training), OutcomeMatrix.from_frame(test)
    directory, prepare = SETS[name]
    path = folder / directory / "outcomes.parquet" if folder else None
    if path is None or not path.is_file():
        return None
    outcomes = OutcomeMatrix.from_frame(prepare(pd.read_parquet(path)))
    held_out = holdout_mask(outcomes.prompts, TEST_FRACTION, seed=0)
    return outcomes.rows(~held_out), outcomes.rows(held_out)


def measure(training: OutcomeMatrix, test: OutcomeMatrix, encoder: EncoderName) -> dict[str, Any]:
    """Return shares with intervals, savings at the operating point, verdict, seconds."""
    start = time.perf_counter()
    evaluation = evaluate_routing(training, test, RouterLearner(encoder), get_encoder(encoder), RoutingConfig())
    shares = {
        name: evaluation.scores[name].curve["share_of_gap"].to_dict() for name in SHOWN if name in evaluation.scores
    }
    return {
        "models": len(evaluation.pool.models),
        "train": training.n_queries,
        "scored": int(evaluation.scored.sum()),
        "shares": shares,
        "saving_at_equal_quality": evaluation.scores["beast"].curve["saving_at_equal_quality"].to_dict(),
        "verdict": evaluation.verdict.sentence,
        "pays": evaluation.verdict.pays,
        "seconds": time.perf_counter() - start,
        "stages": evaluation.report["seconds"],
    }


def main() -> None:
    """Measure the sets that are there and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default=",".join(("quickstart", *SETS)))
    parser.add_argument("--encoder", default="static", choices=("static", "minilm", "hashing"))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    root = os.environ.get("BEAST_DATA_DIR")
    results: dict[str, Any] = {}
    for name in arguments.sets.split(","):
        sets = load(name.strip(), Path(root) if root else None)
        if sets is None:
            print(f"{name}: not there (BEAST_DATA_DIR is {root!r}), left out")
            continue
        results[name] = result = measure(*sets, arguments.encoder)
        shares = "  ".join(f"{k} {_interval(v)}" for k, v in result["shares"].items())
        print(
            f"{name}: {result['models']} models, {result['train']} + {result['scored']} queries, "
            f"{result['seconds']:.0f} s"
        )
        print(f"  share of the gap: {shares}")
        print(
            f"  saving at equal quality {_interval(result['saving_at_equal_quality'])}. {result['verdict']}", flush=True
        )
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2))


def _interval(estimate: dict[str, float | None]) -> str:
    if estimate["value"] is None:
        return "-"
    return f"{estimate['value']:.3f} [{estimate['low']:.3f}, {estimate['high']:.3f}]"


if __name__ == "__main__":
    main()
