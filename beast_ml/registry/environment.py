"""What MLflow is told through environment variables."""

from __future__ import annotations

from typing import Final

__all__ = ["QUIET", "TRACKING_URI"]

TRACKING_URI: Final = "MLFLOW_TRACKING_URI"
"""Tells child processes where the store is: an address may hold a password, and arguments are for all users to see."""

QUIET: Final = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_DISABLE_AGENT_HINT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_JITTER": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}
"""By default MLflow phones home, retries a dead server for minutes, and starts seven processes beside its server that
judge chat traces. Set unless the operator has set them."""
