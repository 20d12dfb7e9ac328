"""Model cards: what a registered model is, what it was trained on, how good it is, what it must not be used for."""

from __future__ import annotations

from beast_ml.features.tuning import TUNED
from beast_ml.policy.learner import FittedRouter
from beast_ml.predictors.contract import Fitted, Predictor
from beast_ml.predictors.cost import TokenCostPredictor
from beast_ml.registry.evidence import Evidence

__all__ = ["model_cards"]


def model_cards(router: FittedRouter, verdict: str, evidence: Evidence, data_name: str) -> dict[str, str]:
    """Return Markdown by part: "router", "encoder", "quality", and "cost" and "latency" where they were fitted.

    ``verdict`` is one sentence, ``data_name`` what the data are called.
    """
    spec, predictors = router.features.spec, router.pool.predictors
    fits = router.pool.targets
    pool = ", ".join(f"`{name}`" for name in router.models)
    training = (
        f"Trained on {router.training.n_queries} queries of `{data_name}` (sha256 `{router.training.digest()[:16]}`), "
        f"tested on {evidence.n_test_queries} others. Candidates: {pool}."
    )
    figures = "\n".join(f"| {name} | {value} |" for name, value in evidence.rows())
    cards = {
        "router": (
            f"**{verdict}**\n\n{training}\n\n| on test queries | |\n|---|---|\n{figures}\n\n"
            f"{_kinds(router)}"
            "The figures hold for requests like the test queries. Requests of another kind, or a provider that "
            "changes a model under its name, need new outcomes and a new training."
        ),
        "encoder": (
            f"The `{spec.encoder}` encoder, {spec.encoder_dim} dimensions, hash `{spec.encoder_hash[:16]}`. "
            + (
                "A static table distilled from all-MiniLM-L6-v2 (Apache-2.0): mean of weighted token vectors, unit "
                "length. Word order and negation are lost; good enough for routing, not for a semantic cache."
                if spec.encoder in ("static", TUNED)
                else "Vectors of unit length."
            )
            + (
                " Its token vectors were fine-tuned on the training outcomes; the predictors were fitted on vectors "
                "from tables that had not seen the query's fold."
                if spec.encoder == TUNED
                else ""
            )
        ),
        "quality": (
            f"Probability-like quality (0..1) of each candidate's answer. {training}\n\n"
            f"{_how(fits['quality'])} of {len(spec.names)} features, distilled into one network and calibrated "
            f"({predictors.quality.calibrated.kind}). Calibration error on test queries {evidence.quality_ece:.3f}; a "
            f"perfectly calibrated predictor would show {evidence.quality_ece_floor:.3f}."
        ),
    }
    if predictors.cost is not None:
        how = (
            "Price x predicted tokens, so a price change needs no retraining."
            if isinstance(predictors.cost, TokenCostPredictor)
            else "Learnt in dollars, because token counts and prices do not explain the recorded costs."
        )
        report = (fits.get("cost") or fits["output_tokens"]).report
        r2 = f"{report['log_r2_out_of_fold']:.2f}"
        cards["cost"] = f"Cost of one call to each candidate, USD. {training}\n\n{how} Out-of-fold R2 of the log: {r2}."
    if predictors.latency is not None:
        r2 = f"{fits['latency'].report['log_r2_out_of_fold']:.2f}"
        cards["latency"] = (
            f"Seconds until each candidate has answered. {training}\n\nOut-of-fold R2 of the log: {r2}. Latency "
            "depends on load and time of day, which prompts do not tell."
        )
    return cards


def _how(fitted: Fitted[Predictor]) -> str:
    """Say which family won, and from what a stack is mixed."""
    winner = next((score for score in fitted.families if score.chosen), None)
    if winner is None:
        return "A model"
    weights = [
        f"{share:.0%} {name.removeprefix('weight of ')}" for name, share in winner.settings.items() if share >= 0.005
    ]
    return f"A stack ({', '.join(weights)})" if winner.name == "stack" else f"The family `{winner.name}`"


def _kinds(router: FittedRouter) -> str:
    """Return a paragraph on the classifier of kinds, or nothing."""
    if router.pool.kind is None:
        return ""
    report, names = router.pool.kind.report, ", ".join(router.pool.kind.predictor.kinds)
    return (
        f"Tells {len(router.pool.kind.predictor.kinds)} kinds of request apart ({names}): macro-F1 "
        f"{report['macro_f1_out_of_fold']:.2f} out of fold on training queries. Every request is given one of them, "
        "also a request of another kind.\n\n"
    )
