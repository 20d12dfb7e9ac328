"""The stream of requests that caches are replayed on. Fixed in advance; nothing in it was chosen by how a cache does.

What happens, in two settings, `ORDINARY` and `HOSTILE`:

- **Who asks.** Several tenants, of unequal size, ask the same catalogue of questions; an answer is right for its own
  tenant only.
- **What.** Popularity is Zipf with an exponent. Each day a share of the questions trade places (drift), and each has an
  hour of the day at which it is asked most.
- **In which words.** The usual wording; or another one that people labelled as a duplicate (`paraphrase_share`); either
  may come with other spaces, capitals or a "please" (`surface_share`). Of a question with a
  twin, alike but labelled as no duplicate, the twin is asked instead with `near_miss_share`.
- **When.** The gaps of a real trace (Azure 2023, conversation), stretched to the mean rate times a daily and weekly
  rhythm; without the trace, Gamma gaps of the same unevenness.
- **How long an answer stays right.** Questions are dealt to kinds at random (`kind_shares`); each changes as a Poisson
  process, whose rate is Gamma distributed within its kind (`lives_s`, `dispersion`). The guesses of `cache.lifetimes`
  are not used.
- **What an answer costs.** Output tokens are log-normal; 10 USD per million, 60 tokens a second after 0.4 s.

The texts are those of ``cache_qqp`` where the data folder is there, made up otherwise. A seed gives the same stream.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.benchmarks.cache.catalogue import Question, generated_questions, labelled_questions
from beast_ml.cache.replay.stream import Form, Stream, StreamRequest
from beast_ml.errors import InputError

__all__ = ["HOSTILE", "ORDINARY", "StreamSetting", "make_stream"]

_HOUR_S: Final = 3_600.0
_DAY_S: Final = 24 * _HOUR_S
_USD_PER_TOKEN: Final = 10e-6


@dataclass(frozen=True)
class StreamSetting:
    """How a stream is drawn.

    Parameters
    ----------
    name
        What it is called.
    n_requests, days
        How many come in how long.
    n_questions, n_tenants
        The catalogue, and who asks.
    zipf_exponent
        Of popularity.
    paraphrase_share, surface_share, near_miss_share
        Of the requests; see above.
    drift_per_day
        Share of the questions that trade places in popularity each day.
    rhythm
        How far popularity and rate swing about their means in the course of a day, 0 to 1.
    lives_s
        Mean time until an answer of a kind changes; infinite is fine.
    kind_shares
        Of the questions.
    dispersion
        Squared coefficient of variation of the rates within a kind.
    """

    name: str
    n_requests: int = 60_000
    days: float = 14.0
    n_questions: int = 3_000
    n_tenants: int = 4
    zipf_exponent: float = 1.0
    paraphrase_share: float = 0.3
    surface_share: float = 0.2
    near_miss_share: float = 0.03
    drift_per_day: float = 0.02
    rhythm: float = 0.6
    lives_s: Mapping[str, float] = field(
        default_factory=lambda: {
            "maths": np.inf,
            "code": 60 * _DAY_S,
            "general_knowledge": 10 * _DAY_S,
            "business": 1 * _DAY_S,
            "function_calling": 4 * _HOUR_S,
        }
    )
    dispersion: float = 0.5
    kind_shares: Mapping[str, float] = field(
        default_factory=lambda: {
            "maths": 0.20,
            "code": 0.25,
            "general_knowledge": 0.30,
            "business": 0.15,
            "function_calling": 0.10,
        }
    )


ORDINARY: Final = StreamSetting("ordinary")
"""Traffic as of one product."""

HOSTILE: Final = StreamSetting(
    "hostile",
    zipf_exponent=0.7,
    paraphrase_share=0.5,
    near_miss_share=0.15,
    drift_per_day=0.10,
    lives_s={
        "maths": np.inf,
        "code": 20 * _DAY_S,
        "general_knowledge": 3 * _DAY_S,
        "business": 8 * _HOUR_S,
        "function_calling": 1 * _HOUR_S,
    },
    dispersion=1.0,
)
"""Traffic that is hard on a cache."""


def make_stream(setting: StreamSetting, seed: int = 0, data: Path | None = None) -> Stream:
    """Return the stream of a setting.

    Parameters
    ----------
    setting
        `ORDINARY`, `HOSTILE`, or one of one's own.
    seed
        The same seed and data give the same stream.
    data
        The data folder; parts that are not in it are made up.

    Raises
    ------
    InputError
        If the setting has no requests or questions, or shares that are none.
    """
    shares = (setting.paraphrase_share, setting.surface_share, setting.near_miss_share, setting.rhythm)
    if min(setting.n_requests, setting.n_questions, setting.n_tenants) < 1 or not all(0 <= x <= 1 for x in shares):
        raise InputError(
            f"the setting {setting.name!r} needs at least one request, question and tenant, and shares of 0 to 1"
        )
    rng = np.random.default_rng(seed)
    pairs = data / "cache_qqp" / "pairs.parquet" if data is not None else None
    trace = data / "trace_azure2023_conv" / "trace.parquet" if data is not None else None
    labelled = pairs is not None and pairs.exists()
    questions = (
        labelled_questions(pairs, setting.n_questions, rng)
        if pairs is not None and labelled
        else generated_questions(setting.n_questions, rng)
    )
    at_s, traced = _arrivals(setting, trace, rng)
    kinds = rng.choice(list(setting.kind_shares), setting.n_questions, p=list(setting.kind_shares.values()))
    changes = tuple(_changes(setting, str(kind), rng) for kind in kinds)
    asked = _asked(setting, at_s, rng)
    tenants = rng.choice(setting.n_tenants, len(at_s), p=_zipf(setting.n_tenants, 1.0))
    tokens = rng.lognormal(5.3, 0.7, len(at_s))
    requests = []
    for i, (at, place) in enumerate(zip(at_s, asked, strict=True)):
        question, text, form = _worded(setting, questions, int(place), rng)
        version = int(np.searchsorted(changes[question], at, side="right"))
        requests.append(
            StreamRequest(
                number=i,
                at_s=float(at),
                tenant_id=f"tenant-{tenants[i]}",
                text=text,
                kind=str(kinds[question]),
                question=question,
                version=version,
                form=form,
                cost_usd=float(tokens[i] * _USD_PER_TOKEN),
                latency_s=float(0.4 + tokens[i] / 60.0),
            )
        )
    source = (
        f"{'cache_qqp' if labelled else 'made-up texts'}, {'Azure 2023' if traced else 'made-up'} gaps, seed {seed}"
    )
    return Stream(setting.name, setting.days, source, tuple(requests), changes)


def _arrivals(setting: StreamSetting, trace: Path | None, rng: np.random.Generator) -> tuple[NDArray[np.float64], bool]:
    """Return (n,) times: gaps of unit mean, in a time in which the rate is even, mapped to a rate with a rhythm."""
    traced = trace is not None and trace.exists()
    if trace is not None and traced:
        import pandas as pd

        gaps = np.diff(pd.read_parquet(trace, columns=["timestamp_s"])["timestamp_s"].to_numpy(dtype=np.float64))
        start = int(rng.integers(len(gaps)))
        gaps = np.resize(np.roll(gaps, -start), setting.n_requests)
    else:
        gaps = rng.gamma(0.5, 2.0, setting.n_requests)
    even = np.cumsum(gaps)
    hours = np.arange(0.0, setting.days * 24.0 + 1e-9, 0.25)
    weekend = (hours // 24.0 % 7.0) >= 5.0
    rate = (1.0 - setting.rhythm * np.cos(2 * np.pi * (hours - 3.0) / 24.0)) * np.where(weekend, 0.5, 1.0)
    mass = np.concatenate([[0.0], np.cumsum((rate[1:] + rate[:-1]) / 2)])
    times = np.interp(even / even[-1], mass / mass[-1], hours * _HOUR_S)
    return np.asarray(times, dtype=np.float64), traced


def _asked(setting: StreamSetting, at_s: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Return (n,) places in the catalogue: Zipf by rank, ranks that drift, and an hour at which each is asked most."""
    n = setting.n_questions
    ranked = rng.permutation(n)  # by rank, which question
    peak_h = rng.uniform(0.0, 24.0, n)
    weights = _zipf(n, setting.zipf_exponent)
    asked = np.empty(len(at_s), dtype=np.int64)
    hour = np.floor(at_s / _HOUR_S).astype(int)
    for each in range(int(hour[-1]) + 1):
        if each % 24 == 0 and each:
            moved = rng.choice(n, int(setting.drift_per_day * n), replace=False)
            ranked[moved] = ranked[rng.permutation(moved)]
        now = np.flatnonzero(hour == each)
        swing = 1.0 + setting.rhythm * np.cos(2 * np.pi * (each % 24 - peak_h[ranked]) / 24.0)
        p = weights * swing
        asked[now] = ranked[rng.choice(n, len(now), p=p / p.sum())]
    return asked


def _changes(setting: StreamSetting, kind: str, rng: np.random.Generator) -> NDArray[np.float64]:
    life_s, horizon = setting.lives_s[kind], setting.days * _DAY_S
    if not np.isfinite(life_s):
        return np.empty(0)
    spread = rng.gamma(1.0 / setting.dispersion, setting.dispersion) if setting.dispersion else 1.0
    return np.sort(rng.uniform(0.0, horizon, rng.poisson(spread * horizon / life_s)))


def _worded(
    setting: StreamSetting, questions: list[Question], place: int, rng: np.random.Generator
) -> tuple[int, str, Form]:
    form: Form = "usual"
    twin = questions[place].twin
    if twin is not None and rng.random() < setting.near_miss_share:
        place, form = twin, "near_miss"
    wordings = questions[place].wordings
    text = wordings[0]
    if len(wordings) > 1 and rng.random() < setting.paraphrase_share:
        text = wordings[1 + int(rng.integers(len(wordings) - 1))]
        form = "paraphrase" if form == "usual" else form
    if rng.random() < setting.surface_share:
        text = (f"please {text}", f"  {text} ", text.replace(" ", "  "), f"{text}\n", text.upper())[
            int(rng.integers(5))
        ]
        form = "surface" if form == "usual" else form
    return place, text, form


def _zipf(n: int, exponent: float) -> NDArray[np.float64]:
    weights = np.arange(1, n + 1, dtype=np.float64) ** -exponent
    return np.asarray(weights / weights.sum())
