"""What the registered models are called, and what their pages say."""

from __future__ import annotations

from typing import Final

from beast_ml.registry.config import CHAMPION, PREVIOUS, ROUTER

__all__ = ["ABOUT", "registered_name"]

_LOADING: Final = "Load a version with `mlflow.pyfunc.load_model`; its tensors are described under Schema."

ABOUT: Final[dict[str, str]] = {
    "encoder": (
        "Turns a prompt into 256 numbers by looking its tokens up in a static table. One version per table: a training "
        f"that uses the same table reuses the version.\n\n{_LOADING}"
    ),
    "quality": (
        "Predicts, for every candidate model at once, how good its answer to a prompt will be (0..1, calibrated). "
        f"Input: one row of features per prompt. Output: one column per candidate, in name order.\n\n{_LOADING}"
    ),
    "cost": (
        "Predicts, for every candidate model at once, what answering a prompt will cost. Input: one row of features "
        f"per prompt. Output: one column per candidate, in name order.\n\n{_LOADING}"
    ),
    "latency": (
        "Predicts, for every candidate model at once, how many seconds it will take to answer a prompt. Input: one "
        f"row of features per prompt. Output: one column per candidate, in name order.\n\n{_LOADING}"
    ),
    "cache": (
        "What the semantic cache is made of: MiniLM as ONNX, the static gate before it, known vectors, the verifier "
        "with its curves. Input: pairs of texts, a request and a cached one. Output: how similar they are, by MiniLM "
        f"and by the static gate.\n\n{_LOADING}"
    ),
    "router": (
        "Decides which candidate model answers a prompt. A version is a whole bundle: encoder, predictors, calibration "
        "and policy; its tags `beast-encoder`, `beast-quality`, ... name the exact versions it is made of.\n\n"
        f"- `{CHAMPION}` is the version that serves. `beast promote` moves it, through gates only; a version's "
        "tag `champion_since` says when it was last made champion.\n"
        f"- `{PREVIOUS}` is the champion before it; `beast rollback` goes back there.\n\n"
        "The tag `verdict` says what the gates found, `gate: ...` the figures behind it, and `evidence` everything "
        "that was measured on test queries."
    ),
}
"""Descriptions of the registered models, Markdown, by part (``router`` for the whole)."""


def registered_name(part: str) -> str:
    """Return the name that a part (or ``router``) is registered under."""
    return ROUTER if part == "router" else f"beast-{part}"
