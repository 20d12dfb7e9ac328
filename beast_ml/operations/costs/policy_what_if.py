"""What the log's requests would have cost under another policy: decided by the savings report's deciders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from beast_ml.bundle.read import RouterBundle
from beast_ml.errors import InputError
from beast_ml.features.encoder import Encoder
from beast_ml.logs.logged import LoggedOutcomes
from beast_ml.operations.savings.decider import champion_decider, log_decider
from beast_ml.operations.savings.estimates import SwitchEstimate, estimate_switches
from beast_ml.operations.savings.log import read_savings_log
from beast_ml.operations.savings.switches import Switch, deciding

__all__ = ["PolicyWhatIf", "what_if_policy"]


@dataclass(frozen=True)
class PolicyWhatIf:
    """What another policy would have cost.

    Parameters
    ----------
    name
        Who decides.
    logged_usd
        What the log's policy cost on the requests that it can be said of.
    estimate
        What would be saved of that, and what of quality gained or lost; each with 95% interval, and whether the log
        can tell.
    n_requests
        Of which it can be said.
    """

    name: str
    logged_usd: float
    estimate: SwitchEstimate
    n_requests: int

    def sentence(self) -> str:
        """Return it in words."""
        found, spent = self.estimate, self.logged_usd
        if not found.trusted:
            return f"What {self.name} would have cost cannot be told: {found.verdict.sentence}"
        cost, low, high = (spent * (1.0 - share) for share in (found.saving, found.saving_high, found.saving_low))
        return (
            f"{self.name[0].upper()}{self.name[1:]} would have cost ${cost:,.6g} [{low:,.6g}, {high:,.6g}] instead of "
            f"${spent:,.6g} on {self.n_requests:,} requests, at a quality of {100 * found.quality:+.2f} points "
            f"[{100 * found.quality_low:+.2f}, {100 * found.quality_high:+.2f}]."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return it for a report."""
        return {
            "sentence": self.sentence(),
            "name": self.name,
            "logged_usd": self.logged_usd,
            "requests": self.n_requests,
            **self.estimate.to_dict(),
        }


def what_if_policy(
    logged: LoggedOutcomes,
    encoder: Encoder,
    bundle: RouterBundle | None,
    willingness_to_pay: float | None = None,
    *,
    seed: int = 0,
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> PolicyWhatIf:
    """Return what the log's requests would have cost had a bundle decided, or a router that the log teaches.

    Parameters
    ----------
    logged
        With its costs.
    encoder
        Of the prompts, for the outcome model.
    bundle
        Who decides; None: a router learnt from the log itself.
    willingness_to_pay
        USD for one unit of quality; None: the bundle's own policy.

    Raises
    ------
    InputError
        If neither a bundle nor a willingness to pay is given, or the bundle's models are not those of the log.
    NotEnoughDataError
        If the log is too small to say anything; see `read_savings_log`.
    """
    if willingness_to_pay is not None and not 0 <= willingness_to_pay < float("inf"):
        raise InputError(f"`--willingness` == {willingness_to_pay}, must be a number of USD from 0")
    log = read_savings_log(logged, encoder, life_s=0.0, seed=seed, progress=progress)
    decider = log_decider(log) if bundle is None else champion_decider(log, logged, bundle)
    if decider is None:
        raise InputError(f"the bundle's candidates are not those of the log ({', '.join(log.models)}): name another")
    decisions = decider.as_it_is() if willingness_to_pay is None else decider.at(willingness_to_pay)
    if decisions is None:
        raise InputError("a router that is learnt from the log has no policy of its own: give --willingness, too")
    name = decider.name if bundle is None else "the bundle"
    if willingness_to_pay is not None:
        name += f", paying ${willingness_to_pay:g} for a unit of quality,"
    everyone = np.ones(len(log.chosen), dtype=np.bool_)
    rng = np.random.default_rng([seed, 7])
    switch = Switch("router", name, deciding(log, decisions), "")
    estimate = estimate_switches(log, [switch], everyone, rng, chosen_among=False)[0]
    spent = float(np.nanmean(log.cost.reward)) * len(log.chosen)
    return PolicyWhatIf(name, spent, estimate, len(log.chosen))
