"""The loop of this deployment, from its settings."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from beast_ml.cli.known_exploration import known_exploration
from beast_ml.cli.known_prices import known_prices
from beast_ml.cli.output import say
from beast_ml.errors import InputError
from beast_ml.places import is_remote

if TYPE_CHECKING:
    from beast_ml.operations.learning_loop.live import LiveSurroundings
    from beast_ml.operations.learning_loop.state_file import StateFile
    from beast_ml.settings import Settings

__all__ = ["live_loop", "loop_state"]


def loop_state(settings: Settings) -> StateFile:
    """Return where the loop's state is."""
    from beast_ml.operations.learning_loop.state_file import LOOP_FILE, StateFile

    return StateFile(settings.learning.state / LOOP_FILE)


def live_loop(settings: Settings, store: Path | None = None) -> LiveSurroundings:
    """Return the loop's surroundings: the log, the registry and the experiments that the settings name.

    Parameters
    ----------
    store
        The log store; None: the settings', which need not be there yet, as the first compaction makes it.

    Raises
    ------
    InputError
        If there is no such folder as ``store``: nobody would ever write there what is waited for.
    """
    from beast_ml.experiments.experiments_file import EXPERIMENTS_FILE
    from beast_ml.features.kinds import KIND_TABLE
    from beast_ml.logs.store import LogStore
    from beast_ml.operations.learning_loop.config import LoopConfig
    from beast_ml.operations.learning_loop.live import LiveSurroundings
    from beast_ml.policy.learner import RouterLearner
    from beast_ml.registry.config import TrackingConfig
    from beast_ml.registry.gates import Gates

    if store is not None and not store.is_dir():
        raise InputError(
            f"no log store in {store}: `beast logs ingest FILE --store {store}` makes one; without --store the loop "
            f"takes logs.store of mlflow.yaml, {settings.logs.store}"
        )
    kept = settings.logs.store
    if store is None and not is_remote(kept) and not kept.is_dir():
        say(f"there is no log store in {kept} yet: `beast serve` or `beast logs ingest FILE` makes one")
    told, prices = settings.learning, known_prices(settings)
    return LiveSurroundings(
        store=LogStore(store or settings.logs.store),
        quarantine=settings.logs.quarantine,
        tracking=TrackingConfig(**settings.tracking.model_dump()),
        experiments=settings.serving.state / EXPERIMENTS_FILE,
        folder=told.state,
        gates=Gates(**settings.gates.model_dump()),
        config=LoopConfig(
            every=timedelta(days=told.every_days),
            min_labelled=told.min_labelled,
            canary_share=told.canary_share,
            canary_margin=told.canary_margin,
            watch_share=told.watch_share,
            watch_for=timedelta(days=told.watch_days),
            longest=timedelta(days=told.longest_days),
        ),
        learner=RouterLearner(
            told.encoder,
            prices=prices,
            kinds=KIND_TABLE.extended(settings.kinds),
            exploration=known_exploration(settings),
        ),
        prices=prices,
        requests=told.requests,
        say=say,
    )
