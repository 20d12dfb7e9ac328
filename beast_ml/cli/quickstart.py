"""`beast quickstart`: real outcomes of real models to a registered, promoted router, in one command."""

from __future__ import annotations

import time
from typing import Final

import typer

from beast_ml.cli.evaluate import print_evaluation
from beast_ml.cli.output import Bars, JsonOption, print_json, print_table, progress_bar, say, stdout
from beast_ml.cli.train import print_registered

__all__ = ["app"]

app = typer.Typer()

_PROMPTS: Final = (
    "What is the capital of France?",
    "A train leaves at 9:40 and arrives at 13:05. Its mean speed is 84 km/h. How far did it travel?",
    "Write a Python function that returns the n-th row of Pascal's triangle without recursion.",
    "Is this valid? All of Ann's friends are doctors. Some doctors are rich. So some of Ann's friends are rich.",
)
_NEXT: Final = """next:
  beast ui                                              look at runs, models and plots in MLflow
  beast route "your prompt"                             ask the champion
  beast estimate "your prompt"                          cost of every candidate before the request
  beast train --outcomes YOUR.parquet                   learn from your own outcomes
  beast logs ingest YOUR-LOGS.jsonl && beast logs check learn what your router's logs can tell"""


@app.command()
def quickstart(as_json: JsonOption = False) -> None:
    """Train, evaluate, register, promote and route on real outcomes of three models; no network needed.

    The data are 1,785 training and 1,824 untouched test prompts with judged quality and dollar cost, from the PyPI
    package paretobandit (Apache-2.0), which the "examples" extra installs.
    """
    from beast_ml.logs.outcomes import OutcomeMatrix
    from beast_ml.logs.public.quickstart import load_quickstart
    from beast_ml.operations.training import train
    from beast_ml.policy.learner import RouterLearner
    from beast_ml.registry.config import TrackingConfig
    from beast_ml.registry.gates import Gates
    from beast_ml.registry.promotion import promote
    from beast_ml.serving.router import Router
    from beast_ml.settings import load_settings

    start = time.monotonic()
    settings = load_settings()
    tracking = TrackingConfig(**settings.tracking.model_dump())
    frames = load_quickstart()
    training, test = (OutcomeMatrix.from_frame(frame) for frame in frames)
    say(f"{training.n_queries} training and {test.n_queries} test prompts, {len(training.models)} models")
    with progress_bar() as progress:
        result = train(
            training,
            test,
            tracking=tracking,
            learner=RouterLearner(progress=Bars(progress).advance),
            name="quickstart",
            sources={"training": "pypi://paretobandit/val.jsonl", "test": "pypi://paretobandit/test_holdout.jsonl"},
            say=say,
        )
    promotion = promote(tracking, result.registered.version, Gates(**settings.gates.model_dump()))
    router = Router.load("models:/beast-router@champion", tracking_uri=tracking.uri)
    decisions = router.route_batch(_PROMPTS)
    seconds = time.monotonic() - start
    if as_json:
        print_json(
            {
                "verdict": result.evaluation.verdict.to_dict(),
                "version": result.registered.version,
                "champion": promotion.to_dict(),
                "decisions": [
                    {"prompt": prompt, "model": decision.model, "propensity": decision.propensity}
                    for prompt, decision in zip(_PROMPTS, decisions, strict=True)
                ],
                "seconds": seconds,
            }
        )
        return
    print_evaluation(result.evaluation)
    print_registered(result.registered)
    stdout.print(promotion.sentence, highlight=False, markup=False, style="bold")
    rows = [(prompt, decision.model) for prompt, decision in zip(_PROMPTS, decisions, strict=True)]
    print_table("the champion routes", ("prompt", "model"), rows)
    stdout.print(f"done in {seconds:.0f} s", highlight=False)
    stdout.print(_NEXT, highlight=False, markup=False)
