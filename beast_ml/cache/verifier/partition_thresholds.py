"""A threshold for each partition of the cache, and where it comes from before the partition has evidence of its own.

Evidence is kept three times: of each partition, of each tenant, and of all tenants together. What one tenant asks moves
the thresholds of its own partitions as much as it likes, but those of others only as far as they ask as much
themselves: a flood of lookups that nothing is wrong with, or all, would else stand for everybody.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeVar

import msgspec

from beast_ml.cache.verifier.online import OnlineState, OnlineThreshold
from beast_ml.cache.verifier.risk import RiskTarget

__all__ = ["PartitionState", "PartitionThresholds"]

_NEVER: Final = float("inf")
_MOST_KEPT: Final = 10_000

_Name = TypeVar("_Name", bound=Hashable)


class PartitionState(msgspec.Struct, frozen=True):
    """What a `PartitionThresholds` has learnt, as plain values.

    Parameters
    ----------
    pooled
        Of all tenants together.
    own
        Of partitions, by their key.
    tenants
        Of tenants, by name.
    counted
        Verified lookups of each tenant in the pooled one.
    n_verified
        Verified lookups altogether.
    """

    pooled: OnlineState
    own: dict[bytes, OnlineState]
    tenants: dict[str, OnlineState]
    counted: dict[str, int]
    n_verified: int


@dataclass
class PartitionThresholds:
    """A threshold for each partition of the cache: its own once it has earned one, until then its tenant's or all's.

    Of more than 10,000 partitions, or tenants, those that were not heard of for longest are forgotten, which is safe,
    but for the ones that have proved to be unlike the others: they are kept as long as there are others to forget.

    Parameters
    ----------
    target
        What is promised, of each partition that has its own threshold, of each tenant's lookups that have not, and of
        all such, with no tenant for more than half of them.
    grid, least_audit
        As for `OnlineThreshold`.
    start
        Threshold from labelled pairs, for all together.
    before
        What a partition without evidence gets: "pooled" (the threshold of its tenant if that has earned one, else of
        all, both kept at half of epsilon) or "none" (no semantic hit).
    least_verified
        Verified lookups that a partition, or a tenant, needs before its own threshold is used.
    """

    target: RiskTarget
    grid: Sequence[float]
    least_audit: float
    start: float = _NEVER
    before: Literal["pooled", "none"] = "pooled"
    least_verified: int = 100

    def __post_init__(self) -> None:
        # Half of epsilon: a mean over partitions says little of the worst one.
        self._careful = RiskTarget(self.target.epsilon / 2, self.target.delta)
        self._pooled = OnlineThreshold(self._careful, self.grid, self.least_audit, self.start)
        self._own: dict[bytes, OnlineThreshold] = {}
        self._tenants: dict[str, OnlineThreshold] = {}
        self._counted: dict[str, int] = {}
        self.n_verified = 0
        """Verified lookups so far."""

    def value(self, partition: bytes, tenant: str) -> float:
        """Return the threshold of a tenant's partition now."""
        if (earned := self._earned(self._own.get(partition))) is not None:
            return earned
        if self.before == "none":
            return _NEVER
        earned = self._earned(self._tenants.get(tenant))
        return self._pooled.value if earned is None else earned

    @property
    def pooled(self) -> float:
        """The threshold of who has none of its own, now."""
        return self._pooled.value

    @property
    def n_alarms(self) -> int:
        """Alarms so far, of all together, of tenants and of partitions."""
        theirs = (*self._own.values(), *self._tenants.values())
        return self._pooled.n_alarms + sum(each.n_alarms for each in theirs)

    def observe(
        self,
        partition: bytes,
        tenant: str,
        score: float,
        *,
        wrong: bool | None = None,
        lost: bool = False,
        probability: float = 1.0,
        unverified: int = 0,
    ) -> None:
        """Learn of one lookup of a tenant's partition; see `OnlineThreshold.observe`.

        Before it there were ``unverified`` others of its partition since the last one of it that was picked.
        """
        in_use = self.value(partition, tenant)
        own = self._heard_of(self._own, partition, self.target)
        theirs = self._heard_of(self._tenants, tenant, self._careful)
        # What a partition is served at by evidence of its own may be looser than what is promised of the others.
        used = {id(own): in_use, id(theirs): in_use if self._earned(own) is None else _NEVER}
        heard = [own, theirs, self._pooled] if self._may_count(tenant, unverified + 1) else [own, theirs]
        alarms = self._pooled.n_alarms
        for each in heard:
            each.observe(
                score,
                wrong=wrong,
                lost=lost,
                probability=probability,
                unverified=unverified,
                in_use=used.get(id(each), _NEVER),
            )
        self.n_verified += wrong is not None
        if self._pooled.n_alarms > alarms:
            self._counted.clear()
        elif self._pooled in heard:
            self._count(tenant, unverified + 1)

    def state(self) -> PartitionState:
        """Return what has been learnt, to be kept."""
        return PartitionState(
            self._pooled.state(),
            {name: each.state() for name, each in self._own.items()},
            {name: each.state() for name, each in self._tenants.items()},
            dict(self._counted),
            self.n_verified,
        )

    def restore(self, state: PartitionState) -> None:
        """Go on from what `state` returned.

        Raises
        ------
        InputError
            If it is of another grid.
        """
        self._pooled.restore(state.pooled)
        for partition, known in state.own.items():
            self._heard_of(self._own, partition, self.target).restore(known)
        for tenant, known in state.tenants.items():
            self._heard_of(self._tenants, tenant, self._careful).restore(known)
        self._counted, self.n_verified = dict(state.counted), state.n_verified

    def _earned(self, each: OnlineThreshold | None) -> float | None:
        """Return the threshold of a partition, or tenant, that has proved to have one of its own."""
        if each is None:
            return None
        is_proved = each.n_verified >= self.least_verified and each.value < _NEVER
        return each.value if is_proved or each.n_alarms else None

    def _may_count(self, tenant: str, n: int) -> bool:
        """Whether n lookups of a tenant leave it about half of the evidence of all; their verdict plays no part."""
        own = self._counted.get(tenant, 0)
        lead = 1.0 / (self.least_audit * self._careful.epsilon)  # with nothing wrong it is worth a factor of 1.6
        return own + n <= sum(self._counted.values()) - own + lead

    def _count(self, tenant: str, n: int) -> None:
        self._counted[tenant] = self._counted.pop(tenant, 0) + n
        if len(self._counted) > _MOST_KEPT:
            del self._counted[next(iter(self._counted))]

    def _heard_of(self, known: dict[_Name, OnlineThreshold], name: _Name, target: RiskTarget) -> OnlineThreshold:
        each = known.pop(name, None) or OnlineThreshold(target, self.grid, self.least_audit)
        known[name] = each  # the last one that was heard of
        if len(known) > _MOST_KEPT:
            del known[next((other for other, its in known.items() if not its.n_alarms), next(iter(known)))]
        return each
