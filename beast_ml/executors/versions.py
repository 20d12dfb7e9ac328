"""What two processes must have in common so that one may do the other's work with the same result."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from beast_ml.version import __version__

__all__ = ["differences", "versions_here"]

_PACKAGES: Final = ("dask", "distributed", "cloudpickle", "numpy", "pyarrow", "duckdb", "lightgbm", "tokenizers")


def versions_here() -> dict[str, str]:
    """Return package -> version of what shapes results, of this process; "absent" where there is none."""
    found = {"beast-ml": __version__, "python": ".".join(platform.python_version_tuple()[:2])}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    return found


def differences(here: Mapping[str, str], workers: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Return in words what workers have another version of, each package once.

    Examples
    --------
    >>> differences({"numpy": "2.4.6"}, {"tcp://a:1": {"numpy": "2.2.0"}, "tcp://b:1": {"numpy": "2.4.6"}})
    ['numpy 2.2.0 on tcp://a:1, 2.4.6 here']
    """
    told = []
    for package, ours in here.items():
        others = {worker: found.get(package, "absent") for worker, found in workers.items()}
        other = next(((worker, theirs) for worker, theirs in sorted(others.items()) if theirs != ours), None)
        if other is not None:
            told.append(f"{package} {other[1]} on {other[0]}, {ours} here")
    return told
