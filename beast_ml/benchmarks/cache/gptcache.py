"""GPTCache from PyPI, on our embeddings: its own store, index, similarity evaluation and threshold.

``pip install --no-deps gptcache==0.1.44`` (its dependencies are ours or not needed for this).
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.errors import MissingExtraError

__all__ = ["DEFAULT_THRESHOLD", "gptcache_answers", "gptcache_ranks"]

Floats = NDArray[np.float64]

DEFAULT_THRESHOLD: Final = 0.8
"""``similarity_threshold`` of its ``Config``: share of the range of its similarity evaluation."""


def _missing(error: ImportError) -> MissingExtraError:
    return MissingExtraError("GPTCache", "train", "pip install --no-deps gptcache==0.1.44")


def gptcache_ranks(cosines: Floats) -> tuple[Floats, float]:
    """Return how similar GPTCache says pairs are, and the most it can say.

    Its FAISS index gives squared Euclidean distances, and `SearchDistanceEvaluation` takes them from 4.
    """
    try:
        from gptcache.similarity_evaluation.distance import SearchDistanceEvaluation
    except ImportError as error:
        raise _missing(error) from error
    evaluation = SearchDistanceEvaluation()
    ranks = [evaluation.evaluation({}, {"search_result": (2.0 - 2.0 * float(cosine), None)}) for cosine in cosines]
    return np.array(ranks, dtype=np.float64), float(evaluation.range()[1])


def gptcache_answers(
    stored: Sequence[str],
    asked: Sequence[str],
    embed: Callable[[str], NDArray[np.float32]],
    thresholds: Sequence[float],
) -> dict[float, list[int | None]]:
    """Return, for each threshold, which stored text GPTCache answers each question with; None for a miss.

    The answer to a stored text is its place. SQLite and FAISS as in GPTCache's benchmark, all in a temporary folder.
    """
    try:
        from gptcache import Cache, Config
        from gptcache.adapter.api import get, put
        from gptcache.manager import CacheBase, VectorBase, get_data_manager
        from gptcache.processor.pre import get_prompt
        from gptcache.similarity_evaluation.distance import SearchDistanceEvaluation
    except ImportError as error:
        raise _missing(error) from error
    dim = len(embed(stored[0]))
    answers: dict[float, list[int | None]] = {}
    folder = tempfile.mkdtemp()
    # GPTCache writes its index once more when the process ends; what is registered first runs last.
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    manager = get_data_manager(
        CacheBase("sqlite", sql_url=f"sqlite:///{Path(folder) / 'cache.db'}"),
        VectorBase("faiss", dimension=dim, index_path=str(Path(folder) / "faiss.index"), top_k=1),
        max_size=10 * len(stored),
    )

    def cache_at(threshold: float) -> Any:
        cache = Cache()
        cache.init(
            pre_embedding_func=get_prompt,
            embedding_func=lambda text, **_: embed(text),
            data_manager=manager,
            similarity_evaluation=SearchDistanceEvaluation(),
            config=Config(similarity_threshold=threshold),
        )
        return cache

    filling = cache_at(DEFAULT_THRESHOLD)
    for i, text in enumerate(stored):
        put(text, f"{i}", cache_obj=filling)
    for threshold in thresholds:
        at = cache_at(threshold)
        found = [get(text, cache_obj=at) for text in asked]
        answers[threshold] = [None if place is None else int(place) for place in found]
    return answers
