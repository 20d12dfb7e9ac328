"""What the report of a period is made from, by the settings of a deployment; its CLI and its pipeline share it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from beast_ml.cli.output import say
from beast_ml.errors import InputError, RegistryError

if TYPE_CHECKING:
    from beast_ml.operations.periodic_report.period import Period, PeriodKind
    from beast_ml.operations.periodic_report.report import PeriodicReport, Sources
    from beast_ml.registry.config import TrackingConfig
    from beast_ml.settings import Settings

__all__ = ["named_period", "period_sources", "record_period"]

Progress = Callable[[str, int, int], None]


def named_period(kind: PeriodKind, ending: str | None) -> Period:
    """Return the period that ends with a day (UTC), by default yesterday: the last one that is over.

    Raises
    ------
    InputError
        If it is no day, or not over yet.
    """
    from beast_ml.operations.periodic_report.period import Period

    yesterday = (datetime.now(UTC) - timedelta(days=1)).date()
    try:
        last = yesterday if ending is None else date.fromisoformat(ending)
        if last > yesterday:
            raise InputError(f"`--ending` == {ending}, which is not over yet: the last whole day (UTC) was {yesterday}")
        return Period.ending(kind, last)
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"`--ending` == {ending!r}, must be a day such as 2026-11-29") from error


def period_sources(
    settings: Settings, period: Period, *, store: Path | None = None, judge: bool = True, progress: Progress
) -> Sources:
    """Return what the settings name: log, experiments, loop, MLflow's runs, ledger, champion.

    What is away is said, and counts as not known.

    Parameters
    ----------
    judge
        Whether savings and choices are judged, which needs the encoder.
    """
    from beast_ml.cli.known_prices import known_prices
    from beast_ml.cli.ledger_accounts import ledger_accounts
    from beast_ml.cli.live_loop import loop_state
    from beast_ml.cli.report_router import bundle_of
    from beast_ml.experiments.experiments_file import EXPERIMENTS_FILE, read_experiments
    from beast_ml.features.distill import static_encoder
    from beast_ml.features.kinds import KIND_TABLE
    from beast_ml.logs.store import LogStore
    from beast_ml.operations.periodic_report.report import Sources
    from beast_ml.registry.period_runs import runs_between

    runs = None
    try:
        runs = runs_between(_tracking(settings), period.since, period.until)
    except RegistryError as error:
        say(f"warning: MLflow is left out: {error}")
    encoder = (
        static_encoder(progress=lambda done, total: progress("distilling the encoder", done, total)) if judge else None
    )
    return Sources(
        store=LogStore(store or settings.logs.store),
        experiments=read_experiments(settings.serving.state / EXPERIMENTS_FILE).experiments,
        loop=loop_state(settings).read(),
        runs=runs,
        accounts=ledger_accounts(settings),
        encoder=encoder,
        bundle=bundle_of(None, settings) if judge and runs is not None else None,
        prices=known_prices(settings),
        kinds=KIND_TABLE.extended(settings.kinds),
        life_s=settings.cache.life_s,
    )


def record_period(settings: Settings, report: PeriodicReport, folder: Path) -> str:
    """Store a report's files in MLflow, and return the id of its run.

    Raises
    ------
    RegistryUnavailableError
        If MLflow does not answer.
    """
    from beast_ml.registry.period_runs import record_report

    period, spending = report.period, report.costs.spending
    first = "".join(f"\n{i}. {each.what}: {each.gain}" for i, each in enumerate(report.recommendations[:3], 1))
    headline = f"**{spending.sentence()}**\n\nOpen `report/report.html` under Artifacts.\n{first}"
    return record_report(
        _tracking(settings), period.kind, period.since, period.until, headline, report.metrics(), folder
    )


def _tracking(settings: Settings) -> TrackingConfig:
    """Return where MLflow is."""
    from beast_ml.registry.config import TrackingConfig

    return TrackingConfig(**settings.tracking.model_dump())
