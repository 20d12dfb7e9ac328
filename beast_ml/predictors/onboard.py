"""A new candidate for every predictor of a pool: from what is expected of it, and from its answers to probes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from beast_ml.domain import Price
from beast_ml.errors import InputError
from beast_ml.predictors.amounts import AmountPredictor
from beast_ml.predictors.contract import Floats, Rows
from beast_ml.predictors.cost import TokenCostPredictor
from beast_ml.predictors.new_model import LogitCombination, PopulationPrior, calibrated_logits
from beast_ml.predictors.one_more import (
    AmountOffset,
    add_amount,
    add_pessimism,
    add_quality,
    add_reliability,
    add_token_cost,
)
from beast_ml.predictors.pool import PoolPredictors

__all__ = ["NewCandidate", "ProbeAnswers", "add_to_pool"]


@dataclass(frozen=True)
class NewCandidate:
    """What is known of a new model before it has answered anything.

    Parameters
    ----------
    name
        As logs will name it.
    expected_quality
        Its mean quality on the reference requests, 0..1.
    is_stated
        Whether that was stated rather than guessed; see `PopulationPrior`.
    price
        What it charges; needed where costs are price x tokens.
    log_cost_ratio
        Where costs are learnt in dollars: the log of its cost over the pool's (geometric) mean, None where unknown.
    """

    name: str
    expected_quality: float
    is_stated: bool = True
    price: Price | None = None
    log_cost_ratio: float | None = None


@dataclass(frozen=True)
class ProbeAnswers:
    """What a new model made of k probes; NaN where it was not measured.

    Parameters
    ----------
    rows
        (k, d) features of the prompts.
    quality
        (k,) in 0..1.
    input_tokens, output_tokens, cost_usd, latency_s, ttft_s
        (k,) each.
    """

    rows: Rows
    quality: Floats
    input_tokens: Floats
    output_tokens: Floats
    cost_usd: Floats
    latency_s: Floats
    ttft_s: Floats


def add_to_pool(
    known: PoolPredictors, new: NewCandidate, reference: Rows, probes: ProbeAnswers | None = None
) -> tuple[PoolPredictors, LogitCombination]:
    """Return the pool with one more candidate, and what is believed of its quality.

    Parameters
    ----------
    reference
        (n, d) features of requests such as will come.
    probes
        Answers that were judged; None: the prior alone.

    Raises
    ------
    InputError
        If the name is taken, or nothing tells what the new model costs.
    """
    if new.name in known.models:
        raise InputError(
            f"{new.name!r} is in the pool already ({', '.join(known.models)}): name the new model otherwise"
        )
    prior = PopulationPrior(calibrated_logits(known.quality, reference), new.expected_quality, new.is_stated)
    if probes is None:
        learnt = prior.update()
    else:
        judged = np.isfinite(probes.quality)
        learnt = prior.update(calibrated_logits(known.quality, probes.rows[judged]), probes.quality[judged])
    at = sum(model < new.name for model in known.models)
    extended = PoolPredictors(
        models=(*known.models[:at], new.name, *known.models[at:]),
        quality=add_quality(known.quality, new.name, learnt),
        cost=_with_cost(known.cost, new, probes),
        latency=_with_seconds(known.latency, new.name, probes, None if probes is None else probes.latency_s),
        ttft=_with_seconds(known.ttft, new.name, probes, None if probes is None else probes.ttft_s),
        reliability=None if known.reliability is None else add_reliability(known.reliability, new.name),
        kind=known.kind,
        pessimism=None if known.pessimism is None else add_pessimism(known.pessimism, known.models, new.name),
    )
    return extended, learnt


def _with_cost(
    known: AmountPredictor | TokenCostPredictor | None, new: NewCandidate, probes: ProbeAnswers | None
) -> AmountPredictor | TokenCostPredictor | None:
    if known is None:
        return None
    if isinstance(known, TokenCostPredictor):
        if new.price is None:
            raise InputError(
                f"the costs of this router are price x tokens, and {new.name!r} has no price: give its input and "
                "output price in USD per million tokens"
            )
        return add_token_cost(
            known,
            new.name,
            new.price,
            _offset(known.input_tokens, probes, None if probes is None else probes.input_tokens),
            _offset(known.output_tokens, probes, None if probes is None else probes.output_tokens),
            AmountOffset()
            if known.latency is None
            else _offset(known.latency, probes, None if probes is None else probes.latency_s),
        )
    measured = probes is not None and bool((np.isfinite(probes.cost_usd) & (probes.cost_usd > 0)).any())
    if new.log_cost_ratio is None and not measured:
        raise InputError(
            f"this router learnt costs in dollars, and nothing tells what {new.name!r} costs: give its prices, with "
            "the prices of the pool under `candidates` in mlflow.yaml, or probes with `cost_usd`"
        )
    costs = None if probes is None else probes.cost_usd
    return add_amount(known, new.name, _offset(known, probes, costs, new.log_cost_ratio or 0.0))


def _with_seconds(
    known: AmountPredictor | None, name: str, probes: ProbeAnswers | None, seconds: Floats | None
) -> AmountPredictor | None:
    return None if known is None else add_amount(known, name, _offset(known, probes, seconds))


def _offset(
    known: AmountPredictor, probes: ProbeAnswers | None, amounts: Floats | None, guess: float = 0.0
) -> AmountOffset:
    if probes is None or amounts is None:
        return AmountOffset(guess)
    return AmountOffset.learn(known, probes.rows, amounts, guess)
