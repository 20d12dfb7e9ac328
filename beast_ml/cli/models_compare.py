"""`beast models compare`: models side by side, by outcomes, by a log, or by asking them now."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from beast_ml.cli.live_answers import JudgeOption, MaxTokensOption, MaxUsdOption
from beast_ml.cli.output import Bars, JsonOption, print_json, print_table, progress_bar, say, stdout
from beast_ml.cli.past_time import past_time
from beast_ml.errors import InputError

if TYPE_CHECKING:
    from beast_ml.evaluation.bootstrap import Estimate
    from beast_ml.evaluation.comparison.contract import ModelComparison
    from beast_ml.settings import Settings

__all__ = ["compare_models"]

_SHOWN_AS: Final = {
    "quality": ("quality, points", 100.0, "{:z.1f}"),
    "cost_usd": ("USD per 1,000", 1000.0, "{:z.4g}"),
    "latency_s": ("seconds", 1.0, "{:z.3g}"),
    "errors": ("failed, %", 100.0, "{:z.1f}"),
}


def compare_models(
    models: Annotated[list[str], typer.Argument(metavar="A B [C...]", help="The first is the reference.")],
    outcomes: Annotated[
        Path | None, typer.Option(help="Outcome table with answers of all of them to the same prompts.")
    ] = None,
    live: Annotated[bool, typer.Option("--live", help="Ask their endpoints in mlflow.yaml now.")] = False,
    prompts: Annotated[
        Path | None, typer.Option(help="With --live: an outcome or prompt table, or .txt; default: your log's latest.")
    ] = None,
    n_prompts: Annotated[int, typer.Option(min=1, help="With --live: how many of them, drawn.")] = 100,
    judge: JudgeOption = None,
    max_usd: MaxUsdOption = 1.0,
    max_tokens: MaxTokensOption = 1024,
    store: Annotated[Path | None, typer.Option(help="The log store; default: logs.store in mlflow.yaml.")] = None,
    since: Annotated[
        str | None, typer.Option(help="Of the log: a time (2026-11-25T08:00Z), or how long ago (24h, 30d).")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Also write report.json and comparison.png into this folder.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything that is drawn.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Compare quality, cost, latency and errors on the same prompts, by kind, with 95% intervals of the differences.

    By --outcomes or --live all models answered the same prompts. Without either the log is read, in which one model
    answered each request: then it is what each would have got on all of them, doubly robust, and whether the log can
    tell is said model by model.
    """
    from beast_ml.settings import load_settings

    if live and outcomes is not None:
        raise InputError("`--live` asks, `--outcomes` has answers: give one of the two")
    settings = load_settings()
    if live:
        spend = {"max_usd": max_usd, "max_tokens": max_tokens}
        result = _live(models, prompts, n_prompts, judge, out or Path("beast-out"), seed, settings, spend)
    elif outcomes is not None:
        result = _by_outcomes(models, outcomes, seed, settings)
    else:
        result = _by_log(models, store, since, seed, settings)
    for note in result.notes:
        say(f"warning: {note}")
    if out is not None:
        from beast_ml.evaluation.comparison.plot import draw_comparison

        out.mkdir(parents=True, exist_ok=True)
        (out / "report.json").write_text(json.dumps(result.to_dict(), indent=2) + "\n", "utf-8")
        draw_comparison(out / "comparison.png", result)
    if as_json:
        print_json(result.to_dict())
        return
    _show(result)
    if out is not None:
        written = f"Written: {out / 'report.json'}, {out / 'comparison.png'}"
        stdout.print(written, highlight=False, markup=False)


def _by_outcomes(models: list[str], path: Path, seed: int, settings: Settings) -> ModelComparison:
    import numpy as np

    from beast_ml.evaluation.comparison.outcomes import compare_outcomes
    from beast_ml.evaluation.outcome_files import read_outcome_set
    from beast_ml.features.kinds import KIND_TABLE

    found = read_outcome_set(path)
    if warning := found.warning():
        say(f"warning: {warning}")
    kinds = KIND_TABLE.extended(settings.kinds).labels(found.matrix.tasks)
    return compare_outcomes(found.matrix.priced(settings.prices()), models, kinds, np.random.default_rng(seed))


def _by_log(models: list[str], store: Path | None, since: str | None, seed: int, settings: Settings) -> ModelComparison:
    from beast_ml.cli.known_prices import known_prices
    from beast_ml.features.distill import static_encoder
    from beast_ml.features.kinds import KIND_TABLE
    from beast_ml.logs.store import LogStore
    from beast_ml.operations.comparison_in_log import compare_in_log

    start = None if since is None else past_time("--since", since)
    log = LogStore(store or settings.logs.store)
    if not log.days():
        raise InputError(
            f"no log store in {log.path}: `beast logs ingest FILE` makes one; or give --outcomes, or --live"
        )
    logged = log.logged_outcomes(start).priced(known_prices(settings))
    with progress_bar() as progress:
        bars = Bars(progress)
        encoder = static_encoder(progress=lambda done, total: bars.advance("distilling the encoder", done, total))
        kinds = KIND_TABLE.extended(settings.kinds)
        return compare_in_log(logged, models, encoder, kinds=kinds, seed=seed, progress=bars.advance)


def _live(
    models: list[str],
    prompts: Path | None,
    n_prompts: int,
    judge: str | None,
    folder: Path,
    seed: int,
    settings: Settings,
    spend: dict[str, Any],
) -> ModelComparison:
    import numpy as np
    import pandas as pd

    from beast_ml.cli.known_prices import known_prices
    from beast_ml.cli.live_answers import ask_live, endpoint_of, rows_of, write_answers
    from beast_ml.cli.probe_files import logged_prompts, read_prompts, read_references
    from beast_ml.evaluation.comparison.outcomes import check_models, compare_outcomes
    from beast_ml.features.kinds import KIND_TABLE
    from beast_ml.logs.outcomes import OutcomeMatrix
    from beast_ml.logs.store import LogStore
    from beast_ml.serving.asking.round import Question

    check_models(models)
    endpoints = {model: endpoint_of(model, settings) for model in models}
    queries = read_prompts(prompts) if prompts is not None else logged_prompts(LogStore(settings.logs.store))
    references = {} if prompts is None else read_references(prompts)
    rng = np.random.default_rng(seed)
    drawn = rng.permutation(len(queries.ids))[:n_prompts]
    questions = [
        Question(queries.ids[i], queries.prompts[i], references.get(queries.ids[i]), queries.tasks[i]) for i in drawn
    ]
    journal = folder / "comparison.calls.jsonl"
    found = ask_live(endpoints, known_prices(settings), questions, judge, settings, journal, **spend)
    found.warn(spend["max_usd"])
    write_answers(folder / "answers.csv", found.answers)
    say(f"{found.n_answered} answers for {found.spent_usd:.3g} USD: {folder / 'answers.csv'}")
    asked = pd.DataFrame(rows_of(found.answers))
    if asked.empty:
        raise InputError(f"--max-usd {spend['max_usd']:g} is not enough for a single call: raise it")
    failed = asked["error_kind"].notna()
    asked["task"] = asked["task"].astype(object)
    # What a failed call may have cost is money, not the price of an answer.
    answered = asked.assign(cost_usd=asked["cost_usd"].where(~failed))
    matrix = OutcomeMatrix.from_frame(answered)
    failures = OutcomeMatrix.from_frame(asked.assign(quality=failed.astype(float))).quality
    kinds = KIND_TABLE.extended(settings.kinds).labels(matrix.tasks)
    return compare_outcomes(matrix, models, kinds, rng, failed=failures, source="live")


def _show(result: ModelComparison) -> None:
    how = "what each would have got on the log's requests" if result.source == "log" else "on the same prompts"
    rows = []
    for row in result.rows:
        name, unit, style = _SHOWN_AS[row.measure]
        rows.append(
            (
                name,
                row.kind,
                row.model,
                f"{row.n:,}",
                _text(row.value, unit, style),
                "reference" if row.difference is None else _text(row.difference, unit, style.replace(":", ":+")),
                "yes" if result.tells_apart(row) else "",
            )
        )
    title = f"{', '.join(result.models)}: {how}, 95% intervals"
    several = len({row.kind for row in result.rows}) > 1
    caption = "Many kinds are many looks: one interval of twenty leaves the truth out by chance." if several else None
    columns = ("", "kind", "model", "n", "mean", f"less {result.models[0]}", "told apart")
    print_table(title, columns, rows, caption=caption)
    for model, verdict in (result.trusted or {}).items():
        stdout.print(f"{model}: {verdict}", highlight=False, markup=False)
    stdout.print(result.sentence(), highlight=False, markup=False, style="bold")


def _text(estimate: Estimate, unit: float, style: str) -> str:
    if estimate.value is None:
        return "-"
    text = style.format(unit * estimate.value)
    if estimate.low is None or estimate.high is None:
        return text
    return f"{text} [{style.format(unit * estimate.low)}, {style.format(unit * estimate.high)}]"
