"""A switch of a savings report as an experiment: what `beast report savings` and `beast experiment create` share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from beast_ml.cli.output import say

if TYPE_CHECKING:
    from beast_ml.experiments.definitions import Experiment
    from beast_ml.experiments.experiments_file import Experiments
    from beast_ml.operations.savings.recommendation import Recommendation

__all__ = ["experiment_of"]


def experiment_of(
    found: Recommendation, share: float, router: str | None, running: Experiments
) -> tuple[Experiment, str]:
    """Return the experiment that tries a switch, whose challenger is registered now, and what to say of it.

    A switch that the report does not recommend is tried all the same, with a warning.

    Parameters
    ----------
    share
        Of the users.
    router
        Address of the champion; None: the server's.
    running
        The experiments so far.
    """
    from beast_ml.operations.savings.apply import savings_experiment
    from beast_ml.registry.config import TrackingConfig
    from beast_ml.settings import load_settings

    settings = load_settings()
    tracking = TrackingConfig(**settings.tracking.model_dump())
    experiment = savings_experiment(found, share, router or settings.serving.router, tracking, running)
    if found.doubt is not None:
        say(f"warning: {found.doubt}; guardrails stop the experiment where it proves to do harm")
    said = (
        f"Started {experiment.id}: the challenger ({found.name}) serves {share:.0%} of the users. See how it does: "
        f"beast experiment analyze --experiment {experiment.id} --out beast-out/{experiment.id}"
    )
    return experiment, said
