"""Gauges of the learning loop and of drift; all workers read the same files, so what was said last holds."""

from __future__ import annotations

from beast_ml.operations.learning_loop.states import STEPS
from beast_ml.serving.learning_figures import LearningFigures
from beast_ml.serving.metric_cells import CellFiles, Gauges

__all__ = ["LearningMetrics"]


class LearningMetrics:
    """The gauges of one worker.

    Parameters
    ----------
    files
        Of the worker.
    """

    def __init__(self, files: CellFiles) -> None:
        def gauges(name: str, text: str, *labels: str) -> Gauges:
            return Gauges(files, f"beast_{name}", text, "livemostrecent", labels)

        self._step = gauges("learning_loop_step", "1 for the step at which the learning loop stands.", "step")
        self._entered = gauges("learning_loop_entered_timestamp_seconds", "Since when it stands there.")
        self._cycle = gauges("learning_loop_cycle", "The number of its cycle.")
        self._ended = gauges("learning_loop_ended_cycles", "How its last cycles ended, of at most 50.", "verdict")
        self._drifted = gauges(
            "drift_alarm_timestamp_seconds",
            "When a stream was last found to have drifted; 0: the alarm is gone.",
            *("signal", "model", "kind"),
        )
        self._raised = gauges("drift_alarms_raised", "Alarms of drift since the monitor began; only grows.", "signal")
        self._watched = gauges("drift_watched_until_timestamp_seconds", "Received time of the last request watched.")
        self._shown: set[tuple[str, str, str]] = set()

    def tell(self, figures: LearningFigures) -> None:
        """Show what the files say now."""
        loop = figures.loop
        if loop is not None:
            for step in STEPS:
                self._step.set((step,), float(step == loop.step))
            self._entered.set((), loop.entered_at.timestamp())
            self._cycle.set((), float(loop.cycle))
            for verdict in ("promoted", "rejected", "rolled back"):
                self._ended.set((verdict,), float(sum(each.verdict == verdict for each in loop.finished)))
        for gone in self._shown - figures.drifted.keys():
            self._drifted.set(gone, 0.0)
        for stream, at in figures.drifted.items():
            self._drifted.set(stream, at.timestamp())
        self._shown |= figures.drifted.keys()
        for signal, n in figures.raised.items():
            self._raised.set((signal,), float(n))
        if figures.watched_until is not None:
            self._watched.set((), figures.watched_until.timestamp())
