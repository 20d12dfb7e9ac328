"""The savings report: every switch, ranked on one half of the log's questions, the best one checked on the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np

from beast_ml.bundle.read import RouterBundle
from beast_ml.domain import Price
from beast_ml.errors import InputError
from beast_ml.features.encoder import Encoder
from beast_ml.logs.logged import LoggedOutcomes
from beast_ml.operations.savings.choices import list_switches
from beast_ml.operations.savings.decider import champion_decider, log_decider
from beast_ml.operations.savings.estimates import SwitchEstimate, estimate_switches
from beast_ml.operations.savings.log import SavingsLog, read_savings_log, repriced
from beast_ml.operations.savings.switches import Switch

__all__ = ["RankedSwitch", "SavingsReport", "rank_switches", "savings_report"]

Progress = Callable[[str, int, int], None]

DAY_S: Final = 86_400.0


@dataclass(frozen=True)
class RankedSwitch:
    """A switch with what it comes to.

    Parameters
    ----------
    switch
        What would be done.
    estimate
        On the half that switches are chosen on; intervals hold for all switches at once.
    checked
        On the other half, for the first of the ranking that is recommended; None for the others.
    """

    switch: Switch
    estimate: SwitchEstimate
    checked: SwitchEstimate | None = None

    @property
    def confirmed(self) -> bool:
        """Whether the half that it was not chosen on says the same."""
        return self.checked is not None and self.checked.recommended

    def to_dict(self, spent_usd: float) -> dict[str, Any]:
        """Return it for a report."""
        return {
            "kind": self.switch.kind,
            "name": self.switch.name,
            "how": self.switch.how,
            "as_experiment": self.switch.policy is not None,
            "policy": None if self.switch.policy is None else msgspec.to_builtins(self.switch.policy),
            "saving_usd_per_month": spent_usd * self.estimate.saving,
            **self.estimate.to_dict(),
            "checked": None if self.checked is None else self.checked.to_dict(),
            "confirmed": self.confirmed,
        }


@dataclass(frozen=True)
class SavingsReport:
    """What a log says of savings.

    Parameters
    ----------
    ranked
        What is recommended first, by the lower end of its saving; then what the log can tell of, then the others.
    n_requests, days
        Of the log.
    spent_usd
        What the log's policy costs in 30 days at the log's traffic; under the new prices where some were given.
    price_change
        What the new prices alone change of that, as a share of the old cost; None where none were given.
    notes
        What there is to know.
    champion
        Digest of the training data of the bundle whose policies the switches are; None without one.
    """

    ranked: tuple[RankedSwitch, ...]
    n_requests: int
    days: float
    spent_usd: float
    price_change: float | None
    notes: tuple[str, ...]
    champion: str | None = None

    @property
    def best(self) -> RankedSwitch | None:
        """The first of the ranking, where it is recommended."""
        return self.ranked[0] if self.ranked and self.ranked[0].estimate.recommended else None

    def sentence(self) -> str:
        """Return the verdict for people."""
        best = self.best
        if best is None or best.checked is None:
            told = sum(each.estimate.trusted for each in self.ranked)
            if not told:
                return (
                    "This log cannot tell what would be saved: of none of the "
                    f"{len(self.ranked)} switches enough was tried. {self._advice()}"
                )
            return (
                f"Keep things as they are: of {len(self.ranked)} switches the log can tell of {told}, and none of them "
                "saves anything for certain without losing more than a point of quality."
            )
        found = best.checked
        figures = (
            f"saves {_share(found.saving, found.saving_low, found.saving_high)} of the cost, "
            f"${self.spent_usd * found.saving:,.4g} [{self.spent_usd * found.saving_low:,.4g}, "
            f"{self.spent_usd * found.saving_high:,.4g}] a month, at a quality of {100 * found.quality:+.2f} points "
            f"[{100 * found.quality_low:+.2f}, {100 * found.quality_high:+.2f}], on the half of the questions that it "
            "was not chosen on"
        )
        if best.confirmed:
            return f"Switch 1, {best.switch.name}, {figures}."
        why = found.verdict.sentence if not found.trusted else "which is no proof"
        return f"Switch 1, {best.switch.name}, looked best on one half, but is not confirmed: it {figures}: {why}"

    def _advice(self) -> str:
        return next(
            (each.estimate.verdict.exploration for each in self.ranked if each.estimate.verdict.exploration), ""
        )

    def number(self, number: int) -> RankedSwitch:
        """Return a switch by its number in the ranking, from 1 on.

        Raises
        ------
        InputError
            If there is none.
        """
        if not 1 <= number <= len(self.ranked):
            raise InputError(f"no switch {number}, the report has 1 to {len(self.ranked)}")
        return self.ranked[number - 1]

    def to_dict(self) -> dict[str, Any]:
        """Return ``report.json``."""
        return {
            "sentence": self.sentence(),
            "requests": self.n_requests,
            "days": self.days,
            "spent_usd_per_month": self.spent_usd,
            "price_change": self.price_change,
            "quality_margin": 0.01,
            "confidence": 0.95,
            "champion": self.champion,
            "switches": [
                {"number": number, **each.to_dict(self.spent_usd)} for number, each in enumerate(self.ranked, 1)
            ],
            "notes": list(self.notes),
        }


def savings_report(
    logged: LoggedOutcomes,
    encoder: Encoder,
    *,
    bundle: RouterBundle | None = None,
    prices: Mapping[str, Price] | None = None,
    life_s: float = DAY_S,
    seed: int = 0,
    progress: Progress = lambda *_: None,
) -> SavingsReport:
    """Return what a log says of savings.

    Parameters
    ----------
    logged
        With its costs.
    encoder
        Of the prompts, for the outcome model.
    bundle
        The champion; None: routers are learnt from the log itself.
    prices
        Prices that are to change: the log's policy, and every switch, are reckoned at them, and who decides by
        predicted costs decides anew, without having been trained again.
    life_s
        Seconds that a cache would keep an answer.
    progress
        Called with (what, done, all).

    Raises
    ------
    NotEnoughDataError
        If the log is too small to say anything; see `read_savings_log`.
    UnknownModelError
        If a price is of a model that the log does not have.
    """
    change = None
    if prices:
        old, logged = logged, repriced(logged, prices)
        change = _total(logged) / _total(old) - 1.0 if _total(old) > 0 else None
    log = read_savings_log(logged, encoder, life_s=life_s, seed=seed, progress=progress)
    notes = list(log.notes)
    decider, before = None, None
    if bundle is not None:
        decider = champion_decider(log, logged, bundle.with_prices(prices) if prices else bundle)
        before = champion_decider(log, logged, bundle) if prices else None
        if decider is None:
            notes.append("the champion's candidates are not those of the log: routers are learnt from the log instead")
        else:
            notes.append("where the champion was trained on these requests, its figures flatter it: give --since")
    switches = list_switches(log, decider or log_decider(log), life_s, before if decider is not None else None)
    progress("estimating savings", 0, 1)
    ranked = rank_switches(log, switches, seed)
    progress("estimating savings", 1, 1)
    return SavingsReport(
        tuple(ranked),
        len(log.chosen),
        log.days,
        float(np.nanmean(log.cost.reward)) * log.per_month,
        change,
        tuple(notes),
        None if bundle is None else bundle.manifest.training_digest,
    )


def rank_switches(
    log: SavingsLog, switches: list[Switch], seed: int = 0, n_resamples: int = 1000
) -> list[RankedSwitch]:
    """Return the switches in order, judged on the choosing half; the first is checked on the other, if recommended."""
    rng = np.random.default_rng([seed, 3])
    found = estimate_switches(log, switches, ~log.checking, rng, chosen_among=True, n_resamples=n_resamples)
    order = sorted(range(len(found)), key=lambda k: _rank(found[k]), reverse=True)
    ranked = [RankedSwitch(switches[k], found[k]) for k in order]
    if ranked and ranked[0].estimate.recommended:
        first = ranked[0].switch
        checked = estimate_switches(log, [first], log.checking, rng, chosen_among=False, n_resamples=n_resamples)
        ranked[0] = RankedSwitch(first, ranked[0].estimate, checked[0])
    return ranked


def _rank(found: SwitchEstimate) -> tuple[bool, bool, bool, float]:
    low = found.saving_low if np.isfinite(found.saving_low) else -np.inf
    return found.recommended, found.trusted, found.keeps_quality, low


def _total(logged: LoggedOutcomes) -> float:
    return float(np.nansum(logged.matrix.cost_usd))


def _share(value: float, low: float, high: float) -> str:
    return f"{value:.1%} [{low:.1%}, {high:.1%}]"
