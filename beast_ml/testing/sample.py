"""The sample in ``data/sample``: made-up questions, made-up models, and a small simulated log of them.

Everything in it comes from this file and a seed. It shows what the two tables look like and lets examples run within
seconds; nothing measured on it says anything about real models.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.logs.simulate import (
    ArrivalConfig,
    FailureConfig,
    LabelConfig,
    PolicyConfig,
    SimulationConfig,
    TrafficConfig,
    write_simulation,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["sample_outcomes", "write_sample"]

SEED: Final = 0
_PER_TASK: Final = 30


@dataclass(frozen=True)
class _MadeUpModel:
    name: str
    skill: dict[str, float]
    usd_per_mtok: float
    tokens_per_s: float


_MODELS: Final = (
    _MadeUpModel("sample-small", {"arithmetic": -0.5, "code": -1.5, "translation": 1.0}, 0.2, 150.0),
    _MadeUpModel("sample-medium", {"arithmetic": 1.0, "code": 0.5, "translation": 1.5}, 1.0, 90.0),
    _MadeUpModel("sample-large", {"arithmetic": 2.5, "code": 2.5, "translation": 2.0}, 10.0, 40.0),
)
_ANSWER_TOKENS: Final = {"arithmetic": 40.0, "code": 250.0, "translation": 60.0}
_ITEMS: Final = ("even numbers", "longest words", "duplicate entries", "negative values", "palindromes", "primes")
_ACTIONS: Final = ("counts the", "removes the", "sorts the", "returns the first of the", "sums up the")
_PHRASES: Final = (
    "Where is the station?",
    "The meeting is moved to Thursday.",
    "I would like two coffees, please.",
    "The parcel has not arrived yet.",
    "How much does the ticket cost?",
)
_LANGUAGES: Final = ("French", "German", "Japanese", "Portuguese", "Swahili", "Finnish")


def sample_outcomes(rng: np.random.Generator) -> pd.DataFrame:
    """Return a made-up outcome table: 90 queries of three tasks x three models."""
    import pandas as pd

    rows: list[dict[str, object]] = []
    for task, prompts in _questions(rng).items():
        for number, prompt in enumerate(prompts):
            difficulty = rng.normal()
            for model in _MODELS:
                tokens = float(np.ceil(_ANSWER_TOKENS[task] * np.exp(0.4 * rng.normal())))
                input_tokens = float(-(-len(prompt) // 4))
                right = rng.random() < 1.0 / (1.0 + np.exp(difficulty - model.skill[task]))
                rows.append(
                    {
                        "query_id": f"sample-{task}-{number:02d}",
                        "task": task,
                        "prompt": prompt,
                        "model": model.name,
                        "quality": float(right),
                        "cost_usd": (input_tokens + 4.0 * tokens) * model.usd_per_mtok / 1e6,
                        "input_tokens": input_tokens,
                        "output_tokens": tokens,
                        "latency_s": round(0.3 + tokens / model.tokens_per_s, 3),
                    }
                )
    return pd.DataFrame(rows)


def write_sample(folder: Path) -> None:
    """Write ``outcomes.parquet`` and ``requests.jsonl`` (300 simulated requests) into an existing folder."""
    frame = sample_outcomes(np.random.default_rng(SEED))
    frame.to_parquet(folder / "outcomes.parquet", index=False, compression="zstd")
    config = SimulationConfig(
        requests=300,
        arrivals=ArrivalConfig(kind="diurnal", days=3.0),
        policy=PolicyConfig(kind="epsilon-greedy", epsilon=0.2, model="sample-medium"),
        traffic=TrafficConfig(tenants=3, users=12, repeat_zipf=0.8, paraphrase_share=0.1, rejected_rate=0.01),
        failures=FailureConfig(rate=0.03),
        labels=LabelConfig(share=0.6, mean_delay_h=6.0),
    )
    with tempfile.TemporaryDirectory() as scratch:
        log = write_simulation(OutcomeMatrix.from_frame(frame), config, SEED, Path(scratch) / "log", form="jsonl")
        shutil.copyfile(log.folder / "requests.jsonl", folder / "requests.jsonl")


def _questions(rng: np.random.Generator) -> dict[str, list[str]]:
    numbers = rng.integers(12, 99, size=(_PER_TASK, 3)).tolist()
    code = [f"Write a Python function that {action} {item} in a list." for action in _ACTIONS for item in _ITEMS]
    spoken = [f"Translate into {language}: {phrase}" for phrase in _PHRASES for language in _LANGUAGES]
    return {
        "arithmetic": [f"What is {a} * {b} - {c}? Give the number only." for a, b, c in numbers],
        "code": code[:_PER_TASK],
        "translation": spoken[:_PER_TASK],
    }
