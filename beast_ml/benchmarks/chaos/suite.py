"""Every fault, by part, and an order of them that a seed draws."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from beast_ml.benchmarks.chaos.clock_faults import CLOCK_FAULTS
from beast_ml.benchmarks.chaos.disk_faults import DISK_FAULTS
from beast_ml.benchmarks.chaos.fault import Fault
from beast_ml.benchmarks.chaos.herd_faults import HERD_FAULTS
from beast_ml.benchmarks.chaos.log_faults import LOG_FAULTS
from beast_ml.benchmarks.chaos.network_faults import NETWORK_FAULTS
from beast_ml.benchmarks.chaos.process_faults import PROCESS_FAULTS
from beast_ml.benchmarks.chaos.provider_faults import PROVIDER_FAULTS
from beast_ml.benchmarks.chaos.registry_faults import REGISTRY_FAULTS

__all__ = ["FAULTS", "PARTS", "of_parts", "rounds"]

FAULTS: Final[tuple[Fault, ...]] = (
    *PROCESS_FAULTS,
    *DISK_FAULTS,
    *NETWORK_FAULTS,
    *CLOCK_FAULTS,
    *PROVIDER_FAULTS,
    *LOG_FAULTS,
    *HERD_FAULTS,
    *REGISTRY_FAULTS,
)
"""In the order of the report."""

PARTS: Final = tuple(dict.fromkeys(fault.part for fault in FAULTS))
"""What can be asked for."""


def of_parts(parts: Sequence[str]) -> tuple[Fault, ...]:
    """Return the faults of some parts."""
    return tuple(fault for fault in FAULTS if fault.part in parts)


def rounds(faults: Sequence[Fault], rng: np.random.Generator) -> Iterator[tuple[Fault, ...]]:
    """Yield all faults in another order each time, for ever."""
    while True:
        yield tuple(faults[int(i)] for i in rng.permutation(len(faults)))
