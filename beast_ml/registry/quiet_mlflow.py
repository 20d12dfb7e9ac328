"""The one door to mlflow: importing it from here makes it quiet and quick to give up.

MLflow reads these variables when it is imported or at its first request. By default it phones home, and retries a
dead server for minutes; a value that the operator has set already is left alone.
"""

from __future__ import annotations

import logging
import os
import warnings
from typing import Final

from beast_ml.errors import MissingExtraError

__all__ = ["QUIET", "mlflow"]

QUIET: Final = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_DISABLE_AGENT_HINT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_JITTER": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "GIT_PYTHON_REFRESH": "quiet",
}
"""Variables that are set unless the environment sets them; a child process such as the UI is given them too."""

for _name, _value in QUIET.items():
    os.environ.setdefault(_name, _value)
try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mlflow warns about type hints of its own
        import mlflow
        import mlflow.pyfunc
except ModuleNotFoundError as error:  # pragma: no cover - the test environment has it
    raise MissingExtraError("the MLflow registry", "train") from error

for _name in ("alembic", "mlflow.store.db.utils", "mlflow.pyfunc"):
    logging.getLogger(_name).setLevel(logging.WARNING)  # else a line per schema migration and per model
