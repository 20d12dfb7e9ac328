"""The replays of `beast bench cache`: what each feature adds, stale answers, and first requests, in both settings.

Sizes: 8,000 requests for 400 questions in 14 days, by 4 tenants, among 4 workers; quick: 1,500 for 75. The verifier is
learnt from labelled pairs of ``cache_qqp`` that are connected to no text of either stream.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from beast_ml.benchmarks.cache.ladder import climb, warming_budget_usd
from beast_ml.benchmarks.cache.lives import compare_lives
from beast_ml.benchmarks.cache.stream import HOSTILE, ORDINARY, StreamSetting, make_stream
from beast_ml.benchmarks.cache.unrelated_pairs import unrelated_pairs
from beast_ml.benchmarks.cache.warmed import compare_warming
from beast_ml.cache.bypass import Bypass
from beast_ml.cache.replay.recognition import LearntRecognition, Recognition, learn_recognition
from beast_ml.cache.replay.stream import Stream
from beast_ml.cache.replay.workers_cache import ReplayKeys
from beast_ml.cache.verifier.labelled import LabelledPairs
from beast_ml.features.encoder import Encoder, StaticEncoder

__all__ = ["QUICK_REPLAY", "ReplaySize", "measure_replay", "measure_replays", "resized"]

_HOUR_S: Final = 3_600.0
_DAY_S: Final = 24 * _HOUR_S
_FIXED_H: Final = (6, 24)


@dataclass(frozen=True)
class ReplaySize:
    """How much is replayed.

    Parameters
    ----------
    n_requests
        Of each setting; questions in proportion.
    n_pairs
        Labelled pairs that recognition is learnt from, at most.
    n_trials
        Of tuning.
    """

    n_requests: int = 8_000
    n_pairs: int = 4_000
    n_trials: int = 10


QUICK_REPLAY: Final = ReplaySize(1_500, 1_600, 4)
"""A replay for a rough look."""


def resized(setting: StreamSetting, n_requests: int) -> StreamSetting:
    """Return a setting with other numbers of requests and, in proportion, questions."""
    questions = max(10, setting.n_questions * n_requests // setting.n_requests)
    return replace(setting, n_requests=n_requests, n_questions=questions)


def measure_replays(
    pairs: LabelledPairs,
    encoder: Encoder,
    static: StaticEncoder,
    size: ReplaySize,
    data: Path | None = None,
    seed: int = 0,
    settings: Sequence[StreamSetting] = (ORDINARY, HOSTILE),
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Return the figures of all settings as plain values, and what recognised paraphrases in them.

    Parameters
    ----------
    pairs
        Labelled; those connected to a text that is asked are left out.
    encoder
        Of the semantic cache; one that remembers, for it is asked for every text again and again.
    static
        Static table.
    size
        How much is replayed.
    data, seed, settings
        The streams; see `make_stream`.
    say
        Called with what is being done.
    """
    streams = [make_stream(resized(setting, size.n_requests), seed, data) for setting in settings]
    keys = ReplayKeys()
    asked = [request for stream in streams for request in stream.requests]
    texts = {key.text for each in asked if not isinstance(key := keys.of(each.tenant_id, each.text), Bypass)}
    compared = sorted(text for text in texts if text is not None)
    say(f"replay: embedding {len(compared):,} texts of the streams")
    encoder.encode(compared)
    free = unrelated_pairs(pairs, [each.text for each in asked], size.n_pairs, seed)
    say(f"replay: learning to recognise paraphrases from {len(free):,} other pairs")
    learnt = learn_recognition(free, encoder, static, seed=seed)
    learnt.recognition.static.encode(compared)
    return {
        "recognition": _evidence(learnt),
        "settings": {
            stream.name: measure_replay(stream, keys, learnt.recognition, size.n_trials, say=say) for stream in streams
        },
    }


def measure_replay(
    stream: Stream,
    keys: ReplayKeys,
    recognition: Recognition | None,
    n_trials: int,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Return the figures of one stream as plain values.

    Returns
    -------
    ``ladder``: rung -> rates, counted on the second half; all but the last with the lives learned on the first.
    ``tuning``: what was chosen on the first half. ``lives``: fixed life in hours -> stale answers with it and with
    learned lives that hit as often, in a plain cache. ``warming``: a plain cache without and with it, lost once three
    quarters through.
    """
    compared = {hours: compare_lives(stream, hours * _HOUR_S) for hours in _FIXED_H}
    lives = compared[_FIXED_H[-1]].lifetimes
    lost_at_s = stream.days * _DAY_S * 0.75 // _HOUR_S * _HOUR_S
    budget_usd = warming_budget_usd(stream)
    cold, warm = compare_warming(stream, lives.ttl_s, budget_usd, stream.half_s, lost_at_s)
    return {
        "source": stream.source,
        "requests": len(stream.requests),
        "questions": len(stream.changes_s),
        "lives_h": {kind: lives.ttl_s(kind) / _HOUR_S for kind in sorted({each.kind for each in stream.requests})},
        **climb(stream, keys, compared[_FIXED_H[-1]], recognition, n_trials, say=say),
        "lives": {
            f"{hours} h": {
                "hit_rate_fixed": found.fixed.n_hits / found.fixed.n_requests,
                "hit_rate_learned": found.learned.n_hits / found.learned.n_requests,
                "stale_fixed": found.fixed.n_stale,
                "stale_learned": found.learned.n_stale,
                "stale_ratio": found.stale_ratio,
            }
            for hours, found in compared.items()
        },
        "warming": {"without": cold.to_dict(), "with": warm.to_dict(), "usd_an_hour": budget_usd},
    }


def _evidence(learnt: LearntRecognition) -> dict[str, Any]:
    threshold, bound = learnt.threshold, learnt.bound
    return {
        "pairs": learnt.n_pairs,
        "epsilon": threshold.target.epsilon,
        "threshold": threshold.value if threshold.n_hits else None,
        "lookups": threshold.n_lookups,
        "hits": threshold.n_hits,
        "wrong": threshold.n_wrong,
        "gate": asdict(bound),
    }
