"""The pyfunc of one part of a bundle: the encoder, or the predictor of quality, cost or latency."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
from mlflow.models import set_model

from beast_ml.bundle.parts import read_part

__all__ = ["PartModel"]


class PartModel(mlflow.pyfunc.PythonModel):  # type: ignore[misc]  # mlflow is untyped
    """Answers with what the part's numpy heads answer."""

    def load_context(self, context: Any) -> None:
        """Read the part from the model's files."""
        self._part = read_part(Path(context.artifacts["part"]))

    # The bare array type is the one hint that mlflow does not try to make a schema of.
    def predict(self, context: Any, model_input: np.ndarray) -> Any:
        """Return one row per input row; prompts (n,) for the encoder, features (n, d) for the others."""
        return self._part.predict(model_input)


set_model(PartModel())
