"""A simulated log on disk: the log, the truth behind it, and the description of both."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from beast_ml.errors import InputError
from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.logs.simulate.config import SimulationConfig
from beast_ml.logs.simulate.files import DayPartitions, JsonLines, LogFile
from beast_ml.logs.simulate.generate import Simulation
from beast_ml.logs.simulate.truth import OUTCOMES_FILE, REQUESTS_FILE, outcome_table, policy_value, single_model

__all__ = ["SimulationSummary", "write_simulation"]


@dataclass(frozen=True)
class SimulationSummary:
    """What was written.

    Parameters
    ----------
    folder
        Where: the log (``day=YYYY-MM-DD/part-000.parquet`` or ``requests.jsonl``), ``truth/`` and ``simulation.json``.
    description
        The content of ``simulation.json``.
    """

    folder: Path
    description: Mapping[str, Any]


def write_simulation(
    outcomes: OutcomeMatrix,
    config: SimulationConfig,
    seed: int,
    folder: Path,
    *,
    form: Literal["parquet", "jsonl"] = "parquet",
    on_progress: Callable[[int], None] | None = None,
) -> SimulationSummary:
    """Write a simulated log with its truth; the same arguments write the same bytes.

    ``truth/requests.parquet`` says which query each request asked, ``truth/outcomes.parquet`` what every candidate's
    outcome is (`beast_ml.logs.simulate.truth.counterfactuals` joins them): together they are the counterfactuals of the
    whole log without a row per request and candidate. ``simulation.json`` holds every parameter, the seed, and the true
    value of the logging policy and of each single model.

    Parameters
    ----------
    outcomes
        The outcome set to draw from.
    config
        How the log behaves.
    seed
        Seed of all randomness.
    folder
        A folder that does not exist or is empty; it appears whole or not at all.
    form
        ``parquet``: partitioned by day, as the log store keeps it; ``jsonl``: one file, a JSON object a line.
    on_progress
        Called with the number of requests written since the last call.

    Raises
    ------
    InputError
        If the folder is not empty, or the configuration does not fit the outcome set.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} exists and is not an empty folder; choose another, or remove it first")
    simulation = Simulation(outcomes, config, np.random.default_rng(seed))
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        (unfinished / "truth").mkdir(parents=True)
        description = _write_all(simulation, seed, unfinished, form, on_progress)
        if folder.exists():
            folder.rmdir()
        unfinished.rename(folder)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    return SimulationSummary(folder, description)


def _write_all(
    simulation: Simulation,
    seed: int,
    folder: Path,
    form: Literal["parquet", "jsonl"],
    on_progress: Callable[[int], None] | None,
) -> dict[str, Any]:
    n_asked: NDArray[np.int64] = np.zeros(simulation.outcomes.n_queries, dtype=np.int64)
    statuses: Counter[str] = Counter()
    n_fallbacks, n_labelled = 0, 0
    with ExitStack() as stack:
        log: LogFile = DayPartitions(folder) if form == "parquet" else JsonLines(folder)
        stack.callback(log.close)
        truth: pq.ParquetWriter | None = None
        for chunk in simulation.chunks():
            log.write(chunk.requests)
            if truth is None:
                path = folder / "truth" / REQUESTS_FILE
                truth = stack.enter_context(pq.ParquetWriter(path, chunk.truth.schema, compression="zstd"))
            truth.write_table(chunk.truth)
            routed = chunk.truth["routed"].to_numpy()
            n_asked += np.bincount(chunk.queries[routed], minlength=len(n_asked))
            for entry in chunk.requests["status"].value_counts():
                statuses[entry["values"].as_py()] += entry["counts"].as_py()
            chosen, served = chunk.requests["chosen_model"], chunk.requests["served_model"]
            n_fallbacks += pa.compute.sum(pa.compute.not_equal(chosen, served)).as_py() or 0
            n_labelled += len(chunk.requests) - chunk.requests["quality"].null_count
            if on_progress is not None:
                on_progress(len(chunk.requests))
    pq.write_table(outcome_table(simulation), folder / "truth" / OUTCOMES_FILE, compression="zstd")
    counts = {
        "requests": simulation.config.requests,
        "status": dict(sorted(statuses.items())),
        "served_by_fallback": n_fallbacks,
        "labelled": n_labelled,
    }
    description = {**_describe(simulation, seed, n_asked), "counts": counts}
    (folder / "simulation.json").write_text(json.dumps(description, indent=2, allow_nan=False) + "\n", "utf-8")
    return description


def _describe(simulation: Simulation, seed: int, n_asked: NDArray[np.int64]) -> dict[str, Any]:
    config, outcomes, latency = simulation.config, simulation.outcomes, simulation.latency
    parameters = msgspec.to_builtins(asdict(config), enc_hook=lambda value: value.name)  # of a path, its file name
    del parameters["chunk_rows"]  # changes no byte of the log
    n_routed = int(n_asked.sum())
    logging = policy_value(simulation, simulation.policy.probabilities, n_asked)
    return {
        "seed": seed,
        "parameters": parameters,
        "outcomes_digest": outcomes.digest(),
        "policy_version": simulation.policy.version,
        "n_queries_asked": int((n_asked > 0).sum()),
        "simulated_latency_share": float(latency.simulated[simulation.policy.candidates].mean()),
        "models": {
            model: {
                "failure_rate": float(simulation.failure_rates[j]),
                "tokens_per_s": float(latency.tokens_per_s[j]),
                "overhead_s": float(latency.overhead_s[j]),
            }
            for j, model in enumerate(outcomes.models)
        },
        "true_value": {
            "of": "the mean over the routed requests of the outcome the policy has there, if no call fails",
            "n_requests": n_routed,
            "logging_policy": asdict(logging),
            "single_models": {
                model: asdict(policy_value(simulation, single_model(outcomes, model), n_asked))
                for model in outcomes.models
            },
        },
    }
