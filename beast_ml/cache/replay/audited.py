"""The threshold in a replay as it is in service: a share of lookups is verified, and moves it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from beast_ml.cache.replay.stream import StreamRequest
from beast_ml.cache.verifier.partition_thresholds import PartitionThresholds
from beast_ml.cache.verifier.picking import LookupPicker

__all__ = ["AuditedThresholds"]


class AuditedThresholds:
    """Says which semantic candidates are served; those that are picked to be verified are not.

    Parameters
    ----------
    thresholds
        As they begin.
    right
        The judge, asked of verified lookups alone: whether an answer (of the request with a number) serves a request.
    seed
        Draws what is verified.
    """

    def __init__(
        self, thresholds: PartitionThresholds, right: Callable[[StreamRequest, int], bool], seed: int = 0
    ) -> None:
        self._thresholds, self._right = thresholds, right
        self._floor = thresholds.grid[-1]
        self._picker = LookupPicker(thresholds.least_audit, np.random.default_rng(seed).random)

    def serves(self, request: StreamRequest, partition: bytes, score: float, source: int) -> bool:
        """Return whether the best candidate of a lookup is served."""
        hits = self.allows(request, partition, score)
        picked = self._picker.pick(partition, hits=hits, near=score >= self._floor)
        if picked is None:
            return hits
        self._thresholds.observe(
            partition,
            request.tenant_id,
            score,
            wrong=not self._right(request, source),
            probability=picked.probability,
            unverified=picked.unverified,
        )
        return False

    def allows(self, request: StreamRequest, partition: bytes, score: float) -> bool:
        """Whether a candidate of a request's partition could be served now."""
        return score >= self._thresholds.value(partition, request.tenant_id)

    def missed(self, partition: bytes) -> None:
        """Take note of a lookup without a candidate."""
        self._picker.pick(partition, hits=False)
