"""The pyfunc of a router: prompts in, names of the chosen models out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
from mlflow.models import set_model

from beast_ml.serving.router import Router

__all__ = ["RouterModel"]


class RouterModel(mlflow.pyfunc.PythonModel):  # type: ignore[misc]  # mlflow is untyped
    """Decides as the serving runtime does; for batches and notebooks, not for the request path."""

    def load_context(self, context: Any) -> None:
        """Load the bundle from the model's files."""
        self._router = Router.load(Path(context.artifacts["bundle"]))

    # The bare array type is the one hint that mlflow does not try to make a schema of.
    def predict(self, context: Any, model_input: np.ndarray) -> Any:
        """Return the chosen model of each prompt, (n,) strings."""
        decisions = self._router.route_batch([str(prompt) for prompt in model_input])
        return np.array([decision.model for decision in decisions])


set_model(RouterModel())
