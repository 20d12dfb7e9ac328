"""LLMRouter's kNN, MLP and matrix-factorisation routers (PyPI ``llmrouter-lib``), its own code on our vectors.

All three learn from the label "best model of this query". Where several models are equally good the label goes to the
one whose row comes first, so the same data in another row order are other data: each is run with the cheapest model's
row first, and with the dearest's. `fit_scores` drives the package as its own scripts do, by files in a temporary
folder; only its embedding of prompts is left out, so that all routers see the same vectors.

The package cannot be a dependency: it asks for gradio, which holds pandas below 3. Without its dependencies it runs
beside ours: ``pip install --no-deps llmrouter-lib==0.4.0``.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import json
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, get_args

import numpy as np
import yaml
from numpy.typing import NDArray

from beast_ml.benchmarks.peers.embedded import EmbeddedLearner, Examples, Score
from beast_ml.benchmarks.peers.routellm import win_rates
from beast_ml.errors import MissingExtraError
from beast_ml.features.encoder import Encoder, Vectors

__all__ = ["FAMILIES", "ROW_ORDERS", "Family", "RowOrder", "fit_scores", "llmrouter", "train"]

Floats = NDArray[np.float64]
Family = Literal["knn", "mlp", "mf"]
"""Its families of routers."""

RowOrder = Literal["cheap_first", "dear_first"]
"""Which model's row comes first, which decides its ties."""

FAMILIES: Final[tuple[Family, ...]] = get_args(Family)
"""All of `Family`."""

ROW_ORDERS: Final[tuple[RowOrder, ...]] = get_args(RowOrder)
"""All of `RowOrder`."""

# As in the configurations that come with the package's source; kNN has none there and keeps its defaults.
_SETTINGS: Final[dict[Family, dict[str, Any]]] = {
    "knn": {},
    "mlp": {
        "hidden_layer_sizes": [128, 64],
        "activation": "relu",
        "lr": 0.001,
        "epochs": 100,
        "batch_size": 32,
        "alpha": 0.0001,
    },
    "mf": {"latent_dim": 128, "lr": 0.001, "epochs": 5, "noise_alpha": 0.0},
}
_CLASSES: Final[dict[Family, tuple[str, str, str]]] = {
    "knn": ("knnrouter", "KNNRouter", "KNNRouterTrainer"),
    "mlp": ("mlprouter", "MLPRouter", "MLPTrainer"),
    "mf": ("mfrouter", "MFRouter", "MFRouterTrainer"),
}


def llmrouter(family: Family, order: RowOrder, encoder: Encoder) -> EmbeddedLearner:
    """Return the learner of a family that is given its training rows in an order.

    Raises
    ------
    MissingExtraError
        If the package is not installed.
    """
    if importlib.util.find_spec("llmrouter") is None:
        raise MissingExtraError("LLMRouter as a peer", "peers", "pip install --no-deps llmrouter-lib==0.4.0")
    return EmbeddedLearner(encoder, partial(fit_scores, family, order))


def fit_scores(family: Family, order: RowOrder, examples: Examples) -> Score:
    """Return how sure a trained router is of each model; its own decision is the model of the highest score."""
    router, model = train(family, order, examples)
    m = examples.quality.shape[1]

    def spread(scores: Floats, columns: NDArray[np.intp]) -> Floats:
        # A model that was never the label is not known to the router.
        out = np.zeros((len(scores), m))
        out[:, columns] = scores
        return out

    if family == "knn":
        classes = np.array([int(name) for name in model.classes_])
        return lambda vectors: spread(model.predict_proba(vectors), classes)
    columns = np.array([int(router.idx_to_model[i]) for i in range(len(router.idx_to_model))])
    if family == "mlp":
        return lambda vectors: spread(_softmax(_run(model, vectors)), columns)

    def rate(queries: Any) -> Any:
        # Its projection drops the first axis of a single query.
        return model.score_all(model.project_text(queries).reshape(len(queries), 1, -1))

    return lambda vectors: spread(win_rates(_run(rate, vectors)), columns)


def train(family: Family, order: RowOrder, examples: Examples) -> tuple[Any, Any]:
    """Return the package's router and its trained model; candidates are named by their position."""
    import torch

    module, router_class, trainer_class = _CLASSES[family]
    with tempfile.TemporaryDirectory() as scratch, contextlib.redirect_stdout(io.StringIO()):
        package = importlib.import_module(f"llmrouter.models.{module}")
        folder = Path(scratch)
        _write_rows(folder / "routing.jsonl", order, examples)
        torch.save(torch.from_numpy(np.ascontiguousarray(examples.vectors)), folder / "vectors.pt")
        settings = dict(_SETTINGS[family])
        if family == "mf":
            settings["text_dim"] = examples.vectors.shape[1]
        configuration = {
            "data_path": {
                "routing_data_train": str(folder / "routing.jsonl"),
                "query_embedding_data": str(folder / "vectors.pt"),
            },
            "model_path": {
                "ini_model_path": "",
                "save_model_path": str(folder / ("m.pkl" if family == "knn" else "m.pt")),
            },
            "hparam": settings,
        }
        (folder / "router.yaml").write_text(yaml.safe_dump(configuration), "utf-8")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(examples.seed)
            router = getattr(package, router_class)(str(folder / "router.yaml"))
            trainer = getattr(package, trainer_class)(router, device="cpu")
            trainer.train()
    model = trainer.model
    if family != "knn":
        model.eval()
    return router, model


def _write_rows(path: Path, order: RowOrder, examples: Examples) -> None:
    """Write a row per query and model; of equally good models the first row's becomes the label."""
    by_cost = np.argsort(examples.mean_cost, kind="stable")
    models = by_cost if order == "cheap_first" else by_cost[::-1]
    with path.open("w", encoding="utf-8") as stream:
        for query, qualities in enumerate(examples.quality):
            for model in models:
                if np.isfinite(qualities[model]):
                    row = {
                        "query": f"q{query:08d}",
                        "embedding_id": query,
                        "model_name": str(model),
                        "performance": float(qualities[model]),
                    }
                    stream.write(json.dumps(row) + "\n")


def _run(model: Callable[[Any], Any], vectors: Vectors) -> Floats:
    import torch

    with torch.no_grad():
        return np.asarray(model(torch.from_numpy(np.ascontiguousarray(vectors))).numpy(), dtype=float)


def _softmax(logits: Floats) -> Floats:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
