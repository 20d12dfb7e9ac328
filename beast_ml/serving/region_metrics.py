"""What regions have of each other: where answers came from, and how this one stands with the budgets' home."""

from __future__ import annotations

from beast_ml.domain.money import usd
from beast_ml.operations.budgets.region_figures import RegionFigures
from beast_ml.serving.copy_figures import CopyFigures
from beast_ml.serving.metric_cells import CellFiles, Counters, Gauges

__all__ = ["RegionMetrics"]


class RegionMetrics:
    """The metrics of one worker; gauges are told by the one that does the host's chores.

    Parameters
    ----------
    files
        Of the worker.
    """

    def __init__(self, files: CellFiles) -> None:
        def gauges(name: str, text: str, *labels: str) -> Gauges:
            return Gauges(files, f"beast_region_{name}", text, "livemostrecent", labels)

        self._answers = Counters(files, "beast_region_answers", "Answers of endpoints, by their region.", ("region",))
        self._home_up = gauges("home_up", "1 while the budgets' home answers this region.")
        self._home_lag_s = gauges("home_lag_seconds", "Time since the budgets' home last answered.")
        self._lives_s = gauges("leases_end_in_seconds", "Time for which leases hold without the home.")
        self._held_usd = gauges("held_usd", "Of the home's budget, held here and not spent.", "budget")
        self._held: frozenset[str] = frozenset()
        self._copies_up = gauges("copies_up", "1 while the home's Valkey gives this region the others' cached answers.")
        self._copies_lag_s = gauges("copies_lag_seconds", "Time since it last did.")
        self._copies_waiting = gauges("copies_waiting", "Other regions' cached answers that are yet to be taken.")
        self._copies = Counters(
            files, "beast_region_copies", "Other regions' cached answers: kept, or left out as invalid.", ("result",)
        )

    def answered(self, region: str | None) -> None:
        """Count an answer of an endpoint."""
        self._answers.add((region or "",))

    def tell(self, figures: RegionFigures) -> None:
        """Show how the region stands with the home."""
        self._home_up.set((), float(not figures.away))
        self._home_lag_s.set((), figures.silent_s)
        self._lives_s.set((), figures.lives_s)
        for budget in self._held.difference(figures.held):  # nothing of it is held in a window that has begun
            self._held_usd.set((budget,), 0.0)
        for budget, nano in figures.held.items():
            self._held_usd.set((budget,), usd(nano))
        self._held = frozenset(figures.held)

    def copied(self, figures: CopyFigures) -> None:
        """Show how the region stands with the others' caches."""
        self._copies_up.set((), float(not figures.away))
        self._copies_lag_s.set((), figures.silent_s)
        self._copies_waiting.set((), figures.n_waiting)
        for result, n in (("kept", figures.n_kept), ("left_out", figures.n_left_out)):
            if n:
                self._copies.add((result,), n)
