"""What an experiment is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final, Literal, get_args

import msgspec

from beast_ml.errors import InputError
from beast_ml.experiments.log_metric_names import LogMetric
from beast_ml.experiments.points import POINTS, TOLERANCE, Ranges, first_points, gaps, merged, n_points, points_of

__all__ = [
    "Experiment",
    "Guardrail",
    "ShadowPolicy",
    "SharesSince",
    "StoppedVariant",
    "Unit",
    "Variant",
    "VariantCache",
]

ShadowPolicy = Literal["challenger", "shadow"]
"""Aliases that may decide without being served."""

Unit = Literal["user", "session", "request"]
"""What is drawn."""

_SERVED: Final = re.compile(r"champion|challenger(-[A-Za-z0-9_-]{1,48})?")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


class VariantCache(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a variant is answered out of the cache of its server; where that has none, nothing is.

    Parameters
    ----------
    hits
        ``all`` that the server is set to, only answers to ``equal`` requests, or ``none``.
    max_age_s
        Seconds; nothing older is served. None: as the server is set.
    """

    hits: Literal["all", "equal", "none"] = "all"
    max_age_s: float | None = None

    def __post_init__(self) -> None:
        if self.max_age_s is not None and not 0.0 < self.max_age_s < float("inf"):
            raise InputError(f"a variant's cache has `max_age_s` == {self.max_age_s}, must be above 0")


class Variant(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One arm of an experiment.

    Parameters
    ----------
    name
        ``control`` is the one that the others are compared with.
    policy
        Alias of the router that decides for it: ``champion``, ``challenger``, or one of many such as ``challenger-a``.
    share
        Of the units, 0..1.
    cache
        How it is answered out of the cache; None: as all others are.
    ranges
        First and last of the points that are its own; written by `Experiment.laid_out`, not by people.
    """

    name: str
    policy: str
    share: float
    cache: VariantCache | None = None
    ranges: Ranges = ()


class Guardrail(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What no variant may do; one that provably does is stopped.

    Parameters
    ----------
    metric
        Of the log: quality, cost, latency, errors or feedback.
    most_harm
        By how much a variant may be worse than the control, in units of the metric.
    alpha
        Probability of ever stopping a variant that is exactly that bad, or better.
    """

    metric: LogMetric
    most_harm: float
    alpha: float = 0.01

    def __post_init__(self) -> None:
        if not 0.0 <= self.most_harm < float("inf"):
            raise InputError(f"a guardrail's `most_harm` == {self.most_harm}, must be 0 or more")
        if not 0.0 < self.alpha < 1.0:
            raise InputError(f"a guardrail's `alpha` == {self.alpha}, must be between 0 and 1")


class SharesSince(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The shares that the variants had from a moment on: without them, propensities of the past would be lost.

    Parameters
    ----------
    at
        Aware.
    shares
        Variant -> share of the units.
    """

    at: datetime
    shares: dict[str, float]


class StoppedVariant(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A variant that a guardrail stopped.

    Parameters
    ----------
    variant
        Its name.
    at
        Aware.
    metric
        Of the guardrail.
    why
        What was found of it, as of then.
    """

    variant: str
    at: datetime
    metric: LogMetric
    why: str


class Experiment(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A comparison of policies on live requests.

    Parameters
    ----------
    id
        Also the key of its hash: units are drawn anew for each experiment.
    variants
        Their shares sum to at most 1; other units are served by the champion and take no part. Empty for an
        experiment that only shadows.
    unit
        What is drawn: all requests of a user, or of a session, get the same variant; or each request for itself.
    tenants
        Whose requests; None: everybody's.
    shadow
        Alias of a router that also decides, without being served.
    shadow_share
        Of the requests.
    status
        Of a stopped one nothing is assigned any more.
    layer
        Experiments of one layer take disjoint slices of the same requests' units, so that they may run at once
        without touching each other; None: it takes all units of its tenants.
    layer_share
        Of the layer's units; shares of variants are of these.
    layer_ranges
        First and last of the layer's points that are its own; written by `Experiments.put`, not by people.
    guardrails
        What stops a variant by itself.
    allocation
        ``best-arm``: shares move towards the variants that are most probably best; else people set them.
    metric
        What ``best-arm`` goes by.
    history
        The shares that there were, in order of time; written by the server, not by people.
    stops
        What guardrails stopped, in order of time; written by `beast_ml.experiments.tend`, not by people.

    Raises
    ------
    InputError
        If a name, a share or a policy cannot be.
    """

    id: str
    variants: tuple[Variant, ...] = ()
    unit: Unit = "user"
    tenants: tuple[str, ...] | None = None
    shadow: ShadowPolicy | None = None
    shadow_share: float = 1.0
    status: Literal["running", "stopped"] = "running"
    layer: str | None = None
    layer_share: float = 1.0
    layer_ranges: Ranges = ()
    guardrails: tuple[Guardrail, ...] = ()
    allocation: Literal["fixed", "best-arm"] = "fixed"
    metric: LogMetric = "quality"
    history: tuple[SharesSince, ...] = ()
    stops: tuple[StoppedVariant, ...] = ()

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.id):
            raise InputError(f"experiment id {self.id!r}: use 1 to 64 letters, digits, '_', '.' or '-'")
        names = [variant.name for variant in self.variants]
        for variant in self.variants:
            self._check_variant(variant, names)
        if self.variants and "control" not in names:
            raise self._wrong(f"has the variants {', '.join(names)}, but no `control` to compare them with")
        if sum(map(points_of, (variant.share for variant in self.variants))) > POINTS + TOLERANCE:
            total = sum(variant.share for variant in self.variants)
            raise self._wrong(f"has shares that sum to {total:.6g}, must be at most 1")
        if not self.variants and self.shadow is None:
            raise self._wrong("has neither variants nor a shadow policy: give one")
        if self.shadow is not None and self.shadow not in get_args(ShadowPolicy):
            raise self._wrong(f"shadows {self.shadow!r}, must be one of {', '.join(get_args(ShadowPolicy))}")
        if not 0.0 <= self.shadow_share <= 1.0:
            raise self._wrong(f"has `shadow_share` == {self.shadow_share}, must be in 0..1")
        if self.unit not in get_args(Unit):
            raise self._wrong(f"draws by {self.unit!r}, must be one of {', '.join(get_args(Unit))}")
        if self.tenants is not None and not self.tenants:
            raise self._wrong("has an empty list of tenants: leave `tenants` out to mean all")
        if self.layer is not None and not _NAME.fullmatch(self.layer):
            raise self._wrong(f"is in the layer {self.layer!r}: use 1 to 64 letters, digits, '_', '.' or '-'")
        if self.layer is None and (self.layer_share != 1.0 or self.layer_ranges):
            raise self._wrong("has a share of a layer, but no `layer`: name one")
        if not 0.0 < self.layer_share <= 1.0:
            raise self._wrong(f"has `layer_share` == {self.layer_share}, must be above 0 and at most 1")
        if any(each.at.tzinfo is None for each in self.history):
            raise self._wrong("has a `history` with times without a zone: leave `history` out, the server writes it")
        self._check_ranges()

    def laid_out(self) -> Experiment:
        """Return it with the points of every variant, keeping those that it has as far as its shares allow.

        So a unit of a variant that grows stays in it, and only as many units change as must.
        """
        owned = {variant.name: variant.ranges for variant in self.variants}
        wanted = self.wanted_points()
        for name, points in wanted.items():
            owned[name] = first_points(owned[name], points)
        free = gaps([each for ranges in owned.values() for each in ranges])
        for name, points in wanted.items():
            missing = points - n_points(owned[name])
            taken = first_points(free, missing)
            owned[name] = merged((*owned[name], *taken))
            free = gaps([each for ranges in owned.values() for each in ranges])
        variants = tuple(msgspec.structs.replace(each, ranges=owned[each.name]) for each in self.variants)
        return msgspec.structs.replace(self, variants=variants)

    def with_shares(self, shares: Mapping[str, float]) -> Experiment:
        """Return it with other shares of the variants named; units move no more than they must.

        Raises
        ------
        InputError
            If a variant is unknown, or the shares cannot be.
        """
        unknown = sorted(set(shares) - {variant.name for variant in self.variants})
        if unknown:
            known = ", ".join(variant.name for variant in self.variants) or "none"
            raise self._wrong(f"has no variant {unknown[0]!r}, only {known}")
        before = {variant.name: variant.ranges for variant in self.laid_out().variants}
        bare = tuple(
            msgspec.structs.replace(each, share=shares.get(each.name, each.share), ranges=()) for each in self.variants
        )
        changed = msgspec.structs.replace(self, variants=bare)
        wanted = changed.wanted_points()
        kept = tuple(
            msgspec.structs.replace(each, ranges=first_points(before[each.name], wanted[each.name])) for each in bare
        )
        return msgspec.structs.replace(changed, variants=kept).laid_out()

    def wanted_points(self) -> dict[str, int]:
        """Return the number of points of each variant; shares that sum to 1 within a billionth take all of them."""
        wanted = {variant.name: points_of(variant.share) for variant in self.variants}
        missing = POINTS - sum(wanted.values())
        if wanted and abs(missing) <= TOLERANCE:
            largest = max(wanted, key=lambda name: wanted[name])
            wanted[largest] += missing
        return wanted

    def _check_variant(self, variant: Variant, names: list[str]) -> None:
        if not _NAME.fullmatch(variant.name):
            raise self._wrong(f"has a variant {variant.name!r}: use 1 to 64 letters, digits, '_', '.' or '-'")
        if names.count(variant.name) > 1:
            raise self._wrong(f"has {names.count(variant.name)} variants {variant.name!r}: names must differ")
        if not _SERVED.fullmatch(variant.policy):
            raise self._wrong(
                f"serves variant {variant.name!r} by {variant.policy!r}, must be champion, "
                "challenger, or an alias such as challenger-a: other policies are never served"
            )
        if not 0.0 <= variant.share <= 1.0:
            raise self._wrong(f"gives variant {variant.name!r} the share {variant.share}, must be in 0..1")

    def _check_ranges(self) -> None:
        of_variants = [each for variant in self.variants for each in variant.ranges]
        for field, ranges in (("ranges", of_variants), ("layer_ranges", self.layer_ranges)):
            last = -1
            for low, high in sorted(ranges):
                if not last < low <= high < POINTS:
                    points = f"points {low}..{high}"
                    raise self._wrong(f"has {points}, which overlap others or are none: leave `{field}` out")
                last = high

    def _wrong(self, what: str) -> InputError:
        return InputError(f"experiment {self.id!r} {what}")
