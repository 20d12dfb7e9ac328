"""Where the settings that hold here keep what must outlive a disaster."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from beast_ml.operations.backup.places import Places
    from beast_ml.settings import Settings

__all__ = ["deployment_places"]


def deployment_places(settings: Settings) -> Places:
    """Return the places of the deployment whose settings these are."""
    from beast_ml.operations.backup.places import Places
    from beast_ml.registry.config import TrackingConfig

    serving = settings.serving
    named = [Path("mlflow.yaml"), *([Path(found)] if (found := os.environ.get("BEAST_CONFIG")) else [])]
    return Places(
        state=serving.state,
        logs=settings.logs.store,
        quarantine=settings.logs.quarantine,
        learning=settings.learning.state,
        tracking=TrackingConfig(**settings.tracking.model_dump()),
        router=None if serving.router.startswith("models:/") else Path(serving.router),
        settings=next((each for each in named if each.is_file()), None),
        database_url=settings.database_url,
        redis_url=settings.redis_url,
    )
