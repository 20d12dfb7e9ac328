"""The experiments that hold now: the file is looked at again, so that all workers see a change within a second."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from beast_ml.errors import DataError, InputError, UnavailableError
from beast_ml.events import events
from beast_ml.experiments.assignment import Assigner, Assigners
from beast_ml.experiments.changes import ExperimentChange
from beast_ml.experiments.definitions import Experiment
from beast_ml.experiments.experiments_file import Experiments, read_experiments, write_experiments
from beast_ml.file_lock import file_lock

__all__ = ["FollowedExperiments"]


class FollowedExperiments:
    """Draws by what a file of experiments says; while it cannot be read, by what it said last.

    Parameters
    ----------
    path
        The file; none means no experiments.
    every_s
        Seconds between looks at it.
    monotonic
        Seconds that never run backwards.
    now
        Aware: when a change of shares began to hold.
    """

    def __init__(
        self,
        path: Path,
        *,
        every_s: float = 1.0,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._path, self._every_s, self._monotonic, self._now = path, every_s, monotonic, now
        self._seen: tuple[int, ...] | None = None  # of the file's last look; empty where there was no file
        self.experiments = Experiments()
        self.error: str | None = None
        """Why the file cannot be read; None while all is well."""
        self._assigners = Assigners(self.experiments)
        self._next = 0.0
        self._look()

    def takes(self, tenant: str) -> bool:
        """Return whether an experiment may take a tenant's requests."""
        self._look_when_due()
        return self._assigners.takes(tenant)

    def of(self, tenant: str, user_id: str | None, session_id: str | None, request_id: str) -> Assigner | None:
        """Return what draws for a request; None where no experiment takes it."""
        self._look_when_due()
        return self._assigners.of(tenant, user_id, session_id, request_id)

    def _look_when_due(self) -> None:
        if self._monotonic() >= self._next:
            self._look()

    def put(self, experiment: Experiment, *, instead_of: Experiment | None = None) -> bool:
        """Add or change one, for all workers; return whether that was done.

        Parameters
        ----------
        experiment
            To be added or changed.
        instead_of
            What it was made from: nothing is done if somebody has changed that meanwhile. None: whatever it is now.

        Raises
        ------
        InputError
            If it would take the requests of another, or changes what its units or variants mean.
        UnavailableError
            If the file cannot be written.
        """
        with self._alone():
            if instead_of is not None and instead_of not in self.experiments.experiments:
                return False
            self._write(experiment)
            return True

    def change(self, change: ExperimentChange) -> Experiment:
        """Add an experiment, or change of one what is given, for all workers; return it as it is then.

        Raises
        ------
        InputError
            If it would take the requests of another, or changes what its units or variants mean.
        UnavailableError
            If the file cannot be written.
        """
        with self._alone():
            self._write(change.applied_to(self.experiments.get(change.id)))
            changed = self.experiments.get(change.id)
            assert changed is not None  # noqa: S101  it was written just now
            return changed

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Of two changes at once, one sees the other."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with file_lock(self._path.with_name(f"{self._path.name}.lock")):
            self._look()
            yield

    def _write(self, experiment: Experiment) -> None:
        changed = self.experiments.put(experiment, self._now())
        try:
            write_experiments(self._path, changed)
        except DataError as error:  # a disk of ours that is full is no mistake of who asks
            raise UnavailableError(f"{error}; nothing was changed: try again when there is room") from error
        self._look()

    def _look(self) -> None:
        self._next = self._monotonic() + self._every_s
        try:
            seen = self._signature()
            if seen == self._seen:
                return
            experiments = read_experiments(self._path)
        except (InputError, OSError) as error:
            if self.error is None:
                events.error("experiments.unreadable", path=str(self._path), error=str(error))
            self.error = str(error)
            return
        self.experiments, self._assigners = experiments, Assigners(experiments)
        self._seen, self.error = seen, None

    def _signature(self) -> tuple[int, ...]:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return ()
        return status.st_mtime_ns, status.st_ino, status.st_size
