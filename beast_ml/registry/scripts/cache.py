"""The pyfunc of a trained cache: pairs of texts in, their similarities out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
from mlflow.models import set_model

from beast_ml.cache.artefact import open_cache

__all__ = ["CacheModel"]


class CacheModel(mlflow.pyfunc.PythonModel):  # type: ignore[misc]  # mlflow is untyped
    """Compares texts as the cache does; for looking at its judgement, not for the request path."""

    def load_context(self, context: Any) -> None:
        """Load the trained cache from the model's files."""
        self._parts = open_cache(Path(context.artifacts["cache"]))

    # The bare array type is the one hint that mlflow does not try to make a schema of.
    def predict(self, context: Any, model_input: np.ndarray) -> Any:
        """Return (n, 2) similarities of (n, 2) texts: by MiniLM, and by the static gate."""
        return self._parts.similarities(model_input)


set_model(CacheModel())
