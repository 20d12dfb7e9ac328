"""A log as rounds of quality and of cost, each request as it ended: with the fallback's answer where one stepped in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.cache.normalise import normalised_text
from beast_ml.domain import Price
from beast_ml.errors import InputError, NotEnoughDataError, UnknownModelError
from beast_ml.evaluation.off_policy.labels import LabelModel, label_model
from beast_ml.evaluation.off_policy.outcome_model import LEAST_LABELLED, request_columns
from beast_ml.evaluation.off_policy.rounds import Floats, LoggedRounds, effective_sample_size
from beast_ml.features.encoder import Encoder
from beast_ml.logs.logged import LoggedOutcomes
from beast_ml.logs.splits import holdout_mask, query_fold, question_numbers
from beast_ml.operations.log_rounds import logged_choices
from beast_ml.operations.savings.repeats import repeats_of
from beast_ml.predictors.log_teacher import teach

__all__ = ["SavingsLog", "ended_as", "read_savings_log", "repriced"]

Progress = Callable[[str, int, int], None]

_FOLDS: Final = 5
_DAY_S: Final = 86_400.0
_FEW: Final = 100.0
_LEAST_DAYS: Final = 1.0 / 24
_GIVEN_UP: Final = ("cancelled", "rejected")


@dataclass(frozen=True)
class SavingsLog:
    """What switches are judged on.

    Parameters
    ----------
    models
        The m candidates, sorted.
    quality, cost
        The n requests with what was predicted of every model, by fits that did not see the question; an unanswered
        request has quality 0 and cost 0. Cost in USD.
    labelled, paid
        (n,) probability that the quality, and that the cost, is known.
    candidates
        (n, m) which models could be chosen.
    cautious
        (n, m) quality less what is not known of it: what a router that learnt from this log would go by.
    received_s
        (n,) when, in seconds.
    repeats
        (n,) the earlier request whose answer a cache would have given, -1 where none.
    checking
        (n,) the half, by question, on which what was chosen on the other half is checked.
    days
        How long the log is.
    columns, folds
        (n, k) of the prompts, and (n,) the fold of each question: what predictions were made with.
    notes
        What there is to know of it.
    """

    models: tuple[str, ...]
    quality: LoggedRounds
    cost: LoggedRounds
    labelled: Floats
    paid: Floats
    candidates: NDArray[np.bool_]
    cautious: Floats
    received_s: Floats
    repeats: NDArray[np.intp]
    checking: NDArray[np.bool_]
    days: float
    columns: Floats
    folds: NDArray[np.intp]
    notes: tuple[str, ...] = ()

    @property
    def chosen(self) -> NDArray[np.intp]:
        """(n,) what the log chose."""
        return self.quality.chosen

    @property
    def per_month(self) -> float:
        """Requests in 30 days, at the log's traffic."""
        return len(self.chosen) / self.days * 30.0


def read_savings_log(
    logged: LoggedOutcomes,
    encoder: Encoder,
    *,
    life_s: float,
    seed: int = 0,
    progress: Progress = lambda *_: None,
) -> SavingsLog:
    """Return a log as what switches are judged on.

    Parameters
    ----------
    logged
        With its costs: see `LoggedOutcomes.priced`.
    encoder
        Of the prompts.
    life_s
        Seconds that a cache would keep an answer.
    progress
        Called with (what, done, all).

    Raises
    ------
    NotEnoughDataError
        If fewer than two models are candidates, no cost is known, or there are too few labels.
    """
    models = logged.matrix.models
    if len(models) < 2:
        raise NotEnoughDataError(
            f"the log has one model ({models[0]}) and no other candidate: there is nothing to switch to; offer a "
            "second model to some requests (exploration), and log what came of it"
        )
    quality, cost, answered = ended_as(logged)
    if not np.isfinite(cost[answered]).any():
        raise NotEnoughDataError(
            "no request of the log has a cost: log `cost_usd`, or state prices under `candidates` in mlflow.yaml"
        )
    n_labelled = int(np.isfinite(quality).sum())
    if n_labelled < LEAST_LABELLED:
        raise NotEnoughDataError(
            f"{n_labelled} of {len(quality):,} requests have a quality label, at least {LEAST_LABELLED} are needed: "
            "what is saved cannot be weighed against quality; send feedback to the log (`beast logs ingest`)"
        )
    rng = np.random.default_rng(seed)
    # Repeats that differ in a blank or a greeting are one question, too: they share answers.
    forms = [normalised_text(text) for text in logged.matrix.prompts]
    folds, question = query_fold(forms, _FOLDS, seed), question_numbers(forms)
    if len(np.unique(folds)) < _FOLDS:
        raise NotEnoughDataError(
            f"the {len(forms):,} requests are only {len(set(forms))} different questions: at least 20 or so are needed"
        )
    columns = request_columns(logged.matrix.prompts, encoder, rng, progress=progress)
    progress("predicting outcomes", 0, 1)
    choices = logged_choices(logged, columns, folds, rng)
    cells = (np.arange(len(quality)), logged.chosen)
    values, paid = (np.full((len(quality), len(models)), np.nan) for _ in range(2))
    values[cells], paid[cells] = quality, np.where(answered, cost, np.nan)
    taught = teach(columns, values, paid, logged.chosen, choices.propensity, folds)
    assert taught.cost is not None  # noqa: S101  costs were given
    progress("predicting outcomes", 1, 1)
    received_s = logged.received_at.astype("datetime64[us]").astype(np.int64) / 1e6
    labels, known = (_label_model(each, answered, columns, logged, folds, rng) for each in (quality, cost))
    rounds = [
        LoggedRounds(logged.chosen, choices.propensity, each, predicted, question, choices.probabilities)
        for each, predicted in (
            (quality, np.clip(taught.out_of_fold, 0.0, 1.0)),
            (cost, np.minimum(taught.cost.out_of_fold, np.nanmax(cost))),
        )
    ]
    candidates = logged.candidates.copy()
    candidates[cells] = True
    return SavingsLog(
        models=models,
        quality=rounds[0],
        cost=rounds[1],
        labelled=np.where(answered, labels.probability, 1.0),
        paid=np.where(answered, known.probability, 1.0),
        candidates=candidates,
        cautious=taught.lower_out_of_fold,
        received_s=received_s,
        repeats=repeats_of(logged.tenant, logged.matrix.prompts, received_s, answered, life_s),
        checking=holdout_mask(forms, 0.5, seed),
        days=max(float(np.ptp(received_s)) / _DAY_S, _LEAST_DAYS),
        columns=columns,
        folds=folds,
        notes=_notes(logged, question, choices.n_estimated, n_labelled, labels),
    )


def ended_as(logged: LoggedOutcomes) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Return (n,) quality, cost and whether it was answered, of each request as it ended.

    The answer is whoever's served. A request that nobody answered is worth nothing and costs nothing; one that its
    sender gave up tells nothing.
    """
    everyone, served = np.arange(len(logged.chosen)), logged.served
    answered = served >= 0
    given_up = ~answered & np.isin(logged.status, _GIVEN_UP)
    nothing = np.where(given_up, np.nan, 0.0)
    quality, cost = (
        np.where(answered, values[everyone, served], nothing)
        for values in (logged.matrix.quality, logged.matrix.cost_usd)
    )
    return quality, cost, answered | given_up


def repriced(logged: LoggedOutcomes, prices: Mapping[str, Price]) -> LoggedOutcomes:
    """Return the log as it would have cost under other prices: its tokens x the new ones.

    Raises
    ------
    UnknownModelError
        If the log has no such model.
    InputError
        If it does not know the tokens of one.
    """
    matrix, cost = logged.matrix, logged.matrix.cost_usd.copy()
    for name, price in prices.items():
        if name not in matrix.models:
            raise UnknownModelError(
                f"no model {name!r} in the log to change the price of; it has {_list(matrix.models)}"
            )
        j = matrix.models.index(name)
        tokens_in, tokens_out = matrix.input_tokens[:, j], matrix.output_tokens[:, j]
        used = tokens_in * price.input_usd_per_mtok / 1e6 + tokens_out * price.output_usd_per_mtok / 1e6
        if (logged.served == j).any() and not np.isfinite(used).any():
            raise InputError(f"the log knows no tokens of {name!r}: a price per token changes nothing that can be told")
        cost[:, j] = np.where(np.isfinite(used), used, np.nan)
    return replace(logged, matrix=replace(matrix, cost_usd=cost))


def _label_model(
    values: Floats,
    answered: NDArray[np.bool_],
    columns: Floats,
    logged: LoggedOutcomes,
    folds: NDArray[np.intp],
    rng: np.random.Generator,
) -> LabelModel:
    """Return how values of answered requests become known; of others they are known anyway."""
    at = logged.received_at.astype("datetime64[us]").astype(np.int64).astype(float)
    found = label_model(
        np.isfinite(values)[answered], columns[answered], logged.chosen[answered], at[answered], folds[answered], rng
    )
    probability = np.ones(len(values))
    probability[answered] = found.probability
    return replace(found, probability=probability)


def _notes(
    logged: LoggedOutcomes, question: NDArray[np.intp], n_estimated: int, n_labelled: int, labels: LabelModel
) -> tuple[str, ...]:
    n, notes = len(logged.chosen), []
    counts = np.bincount(question)
    effective = effective_sample_size(counts.astype(float))
    if effective < _FEW:
        notes.append(
            f"a few questions make most of this log (as {effective:.0f} equally frequent ones of {len(counts):,}): "
            "figures are those of its traffic as it was, another month may differ"
        )
    if n_estimated:
        notes.append(
            f"{n_estimated:,} of {n:,} requests have no propensity: it was estimated, which is right only if the old "
            "router decided on nothing that the prompt does not show; log the probability of each choice"
        )
    if n_labelled < n:
        depends = ", which goes by the request, the model or its age" if labels.depends else ""
        notes.append(f"{n_labelled:,} of {n:,} requests have a label; each counts by how likely it was{depends}")
    if logged.n_left_out:
        notes.append(f"{logged.n_left_out:,} requests have no choice or no prompt and are left out")
    return tuple(notes)


def _list(names: tuple[str, ...]) -> str:
    return ", ".join(names)
