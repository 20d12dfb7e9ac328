"""What a measurement ran on, and tables of it."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

__all__ = ["machine", "markdown_table", "versions"]

_PACKAGES: Final = ("beast-ml", "uvicorn", "uvloop", "httptools", "msgspec", "numpy", "openai")


def machine(n_cores: int) -> dict[str, Any]:
    """Return the processor, how many of its cores were used, how busy it is, and the Python."""
    names = [
        line.partition(":")[2].strip()
        for line in (Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else ())
        if line.startswith("model name")
    ]
    return {
        "cpu": names[0] if names else platform.processor() or platform.machine(),
        "cores": n_cores,
        "load_average": " ".join(f"{value:.1f}" for value in os.getloadavg()),
        "python": platform.python_version(),
    }


def versions() -> dict[str, str]:
    """Return the versions of the packages that a request goes through; of those that are installed."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Return the lines of a table."""

    def line(cells: Iterable[object]) -> str:
        return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"

    return [line(columns), line("---" for _ in columns), *(line(row) for row in rows)]
