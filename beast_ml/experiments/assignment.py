"""Who is served by which policy: drawn once by a keyed hash, so that it stays and its probability is known exactly."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from hashlib import blake2b
from typing import Final

import msgspec

from beast_ml.errors import InputError
from beast_ml.experiments.definitions import Experiment, VariantCache
from beast_ml.experiments.experiments_file import Experiments
from beast_ml.experiments.points import POINTS, points_of

__all__ = ["Assigner", "Assigners", "Assignment", "mixture_propensity", "shadow_context"]

_DIGEST: Final = 8  # bytes: 2**64 points


class Assignment(msgspec.Struct, frozen=True):
    """Which policy decides for a unit.

    Parameters
    ----------
    experiment_id, variant
        None for a unit that takes no part.
    policy
        Alias of the router.
    probability
        With which a unit is drawn for it.
    cache
        How its requests are answered out of the cache, if not as all others.
    """

    experiment_id: str | None
    variant: str | None
    policy: str
    probability: float
    cache: VariantCache | None = None


class Assigner:
    """Draws the units of one experiment.

    A unit's point is a keyed hash of its name, uniform over 2**64 of them; a variant owns a share of the points. The
    same unit gets the same variant on every worker and after every restart; while a share grows, no unit leaves it.

    Parameters
    ----------
    experiment
        Laid out already, or anew. In a layer, probabilities are those of the slice and of the variant within it.

    Examples
    --------
    >>> from beast_ml.experiments.definitions import Experiment, Variant
    >>> half = Experiment(
    ...     id="cheaper",
    ...     variants=(
    ...         Variant(name="control", policy="champion", share=0.5),
    ...         Variant(name="new", policy="challenger", share=0.5),
    ...     ),
    ... )
    >>> Assigner(half).assign("user-7") == Assigner(half).assign("user-7")
    True
    """

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment = experiment.laid_out()
        self._slices = sorted(experiment.layer_ranges)
        size = sum(high - low + 1 for low, high in self._slices) if self._slices else POINTS
        of_layer = size / POINTS
        rest = POINTS - sum(high - low + 1 for variant in experiment.variants for low, high in variant.ranges)
        outside = Assignment(None, None, "champion", of_layer * (rest / POINTS) + (1.0 - of_layer))
        owned = []
        for variant in experiment.variants:
            points = sum(high - low + 1 for low, high in variant.ranges)
            probability = of_layer * (points / POINTS)
            drawn = Assignment(experiment.id, variant.name, variant.policy, probability, variant.cache)
            owned += [(low, high, drawn) for low, high in variant.ranges]
        self._last: list[int] = []
        self._drawn: list[Assignment] = []
        for low, high, drawn in sorted(owned, key=lambda each: each[0]):
            if low > (self._last[-1] + 1 if self._last else 0):
                self._last.append(low - 1)
                self._drawn.append(outside)
            self._last.append(high)
            self._drawn.append(drawn)
        if not self._last or self._last[-1] < POINTS - 1:
            self._last.append(POINTS - 1)
            self._drawn.append(outside)
        self._keyed = _keyed(experiment.id, b"assignment")
        self._layer_keyed = None if experiment.layer is None else _keyed(experiment.layer, b"layer")
        self._shadow_keyed = _keyed(experiment.id, b"shadow")
        self._shadow_points = 0 if experiment.shadow is None else points_of(experiment.shadow_share)
        self._by_user, self._by_session = experiment.unit == "user", experiment.unit == "session"

    @property
    def policy_shares(self) -> dict[str, float]:
        """The probability that a unit is decided for by each policy, units that take no part included."""
        shares: dict[str, float] = {}
        for drawn in {(each.variant, each.policy): each for each in self._drawn}.values():
            shares[drawn.policy] = shares.get(drawn.policy, 0.0) + drawn.probability
        if self._slices and all(each.variant is not None for each in self._drawn):
            # No unit of its slice is left over, but the layer has others.
            shares["champion"] = shares.get("champion", 0.0) + 1.0 - sum(shares.values())
        return shares

    def unit(self, tenant: str, user_id: str | None, session_id: str | None, request_id: str) -> str:
        """Return the name of what is drawn; a request that does not say its user or session stands for itself."""
        if self._by_user and user_id is not None:
            return f"{tenant}\0user\0{user_id}"  # the same name of two tenants is two units
        if self._by_session and session_id is not None:
            return f"{tenant}\0session\0{session_id}"
        return f"{tenant}\0request\0{request_id}"

    def takes(self, unit: str) -> bool:
        """Return whether a unit of its layer is in its slice; without a layer every unit is its own."""
        if self._layer_keyed is None:
            return True
        keyed = self._layer_keyed.copy()
        keyed.update(unit.encode("utf-8", "surrogatepass"))
        point = int.from_bytes(keyed.digest())
        return any(low <= point <= high for low, high in self._slices)

    def assign(self, unit: str) -> Assignment:
        """Return the policy that decides for a unit: always the same one."""
        keyed = self._keyed.copy()
        keyed.update(unit.encode("utf-8", "surrogatepass"))
        return self._drawn[bisect_left(self._last, int.from_bytes(keyed.digest()))]

    def shadow(self, request_id: str) -> str | None:
        """Return the alias of the policy that is to decide without being served, if one is for this request."""
        if not self._shadow_points:
            return None
        keyed = self._shadow_keyed.copy()
        keyed.update(request_id.encode("utf-8", "surrogatepass"))
        return self.experiment.shadow if int.from_bytes(keyed.digest()) < self._shadow_points else None


class Assigners:
    """The running experiments, by tenant.

    Parameters
    ----------
    experiments
        Of the deployment.
    """

    def __init__(self, experiments: Experiments) -> None:
        self._everybody: list[Assigner] = []
        self._of_tenants: dict[str, list[Assigner]] = {}
        for each in experiments.running():
            assigner = Assigner(each)
            if each.tenants is None:
                self._everybody.append(assigner)
            for tenant in each.tenants or ():
                self._of_tenants.setdefault(tenant, []).append(assigner)

    def takes(self, tenant: str) -> bool:
        """Return whether an experiment may take a tenant's requests."""
        return bool(self._everybody) or tenant in self._of_tenants

    def of(self, tenant: str, user_id: str | None, session_id: str | None, request_id: str) -> Assigner | None:
        """Return what draws for a request; None where no experiment takes it."""
        for each in self._of_tenants.get(tenant, []) + self._everybody:
            if each.takes(each.unit(tenant, user_id, session_id, request_id)):
                return each
        return None


def mixture_propensity(shares: Mapping[str, float], propensities: Mapping[str, float]) -> float:
    """Return the probability of a choice before it is known which policy was drawn to make it.

    sum over policies of P(policy) x P(choice | policy, request). It is exact where the policy is drawn independently of
    the request, as an experiment's units are, and so the right denominator of an importance weight over all of an
    experiment's rows; over the rows of one variant the policy's own propensity is. Requests of the same unit share
    their draw: intervals must be clustered by unit.

    Parameters
    ----------
    shares
        Policy -> probability that it decides, such as `Assigner.policy_shares`; they sum to 1.
    propensities
        Policy -> probability that it makes this choice for this request; may leave out policies of share 0.

    Raises
    ------
    InputError
        If a policy that may decide has no propensity, or a number is no probability.

    Examples
    --------
    >>> mixture_propensity({"champion": 0.75, "challenger": 0.25}, {"champion": 1.0, "challenger": 0.5})
    0.875
    """
    total = sum(shares.values())
    if not abs(total - 1.0) <= 1e-9 or any(share < 0 for share in shares.values()):
        raise InputError(
            f"the shares of {', '.join(shares) or 'no policy'} sum to {total:.6g}, must be >= 0 and sum to 1"
        )
    mixed = 0.0
    for policy, share in shares.items():
        if share == 0.0:
            continue
        propensity = propensities.get(policy)
        if propensity is None:
            raise InputError(f"policy {policy!r} decides {share:.3g} of the units, but its propensity is not given")
        if not 0.0 <= propensity <= 1.0:
            raise InputError(f"the propensity under {policy!r} == {propensity}, must be in 0..1")
        mixed += share * propensity
    return min(mixed, 1.0)


def shadow_context(model: str, propensity: float, policy_version: str) -> dict[str, str]:
    """Return what the log's ``context`` keeps of a decision that was not served.

    Examples
    --------
    >>> shadow_context("small", 0.95, "3f2a")
    {'shadow_model': 'small', 'shadow_propensity': '0.95', 'shadow_policy_version': '3f2a'}
    """
    return {
        "shadow_model": model,
        "shadow_propensity": repr(propensity),  # the shortest text that gives the same float back
        "shadow_policy_version": policy_version,
    }


def _keyed(experiment_id: str, person: bytes) -> blake2b:
    return blake2b(key=experiment_id.encode(), digest_size=_DIGEST, person=person)
