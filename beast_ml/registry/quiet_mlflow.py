"""The one door to mlflow: importing it from here makes it quiet and quick to give up.

MLflow reads the variables when it is imported or at its first request.
"""

from __future__ import annotations

import logging
import os
import warnings

from beast_ml.errors import MissingExtraError
from beast_ml.registry.environment import QUIET

__all__ = ["mlflow"]

for _name, _value in QUIET.items():
    os.environ.setdefault(_name, _value)
try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mlflow warns about type hints of its own
        import mlflow
        import mlflow.pyfunc
except ModuleNotFoundError as error:
    raise MissingExtraError("the MLflow registry", "train") from error

for _name in ("alembic", "mlflow.store.db.utils", "mlflow.pyfunc"):
    logging.getLogger(_name).setLevel(logging.WARNING)  # else a line per schema migration and per model
