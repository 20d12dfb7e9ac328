"""The last analyses of a server's experiments: made by a process beside the server, which only reads them."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from beast_ml.durable import write_durably
from beast_ml.errors import DataError

__all__ = ["ANALYSES_FILE", "KeptAnalyses", "KeptAnalysis", "read_analyses", "write_analyses"]

ANALYSES_FILE: Final = "experiment_analyses.json"
"""Within the state folder of a server, beside its experiments."""


class KeptAnalysis(msgspec.Struct, frozen=True):
    """What the log said of one metric of an experiment.

    Parameters
    ----------
    experiment, metric
        What was analysed.
    analysed_at
        When; the log was compacted just before.
    report
        As `beast experiment analyze` writes it: variants with always-valid intervals, and the verdict. Null where there
        is nothing to analyse yet.
    waiting
        Why there is no report.
    """

    experiment: str
    metric: str
    analysed_at: datetime
    report: dict[str, Any] | None = None
    waiting: str | None = None


class KeptAnalyses(msgspec.Struct, frozen=True):
    """The last analysis of each metric of each experiment."""

    analyses: tuple[KeptAnalysis, ...] = ()

    def with_newer(self, newer: tuple[KeptAnalysis, ...]) -> KeptAnalyses:
        """Return these with others in place of those of the same experiments; of stopped ones the last stays."""
        anew = {each.experiment for each in newer}
        return KeptAnalyses((*(each for each in self.analyses if each.experiment not in anew), *newer))


def read_analyses(path: Path) -> KeptAnalyses:
    """Return what was kept; nothing where none was made yet.

    Raises
    ------
    DataError
        If the file is there and holds anything else.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=KeptAnalyses)
    except FileNotFoundError:
        return KeptAnalyses()
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DataError(f"cannot use {path} as analyses of experiments: {error}; remove it, it is made anew") from error


def write_analyses(path: Path, analyses: KeptAnalyses) -> None:
    """Replace what is kept.

    Raises
    ------
    DataError
        If it cannot be written.
    """
    write_durably(path, msgspec.json.encode(analyses))
