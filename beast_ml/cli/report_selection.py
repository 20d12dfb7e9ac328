"""`beast report selection`: what was chosen against what should have been."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.markup import escape

from beast_ml.cli.output import Bars, JsonOption, print_json, print_table, progress_bar, say, stdout
from beast_ml.cli.past_time import past_time
from beast_ml.cli.training_data import log_store_at
from beast_ml.errors import InputError

if TYPE_CHECKING:
    from beast_ml.operations.selection.report import SelectionReport

__all__ = ["report_selection"]

_SHOWN: Final = 25


def report_selection(
    since: Annotated[
        str | None, typer.Option(help="A time (2026-11-25T08:00Z), or how long ago (24h, 30d); default: the whole log.")
    ] = None,
    outcomes: Annotated[
        Path | None,
        typer.Option(help="Instead of the log: an outcome table, to judge a router's choices by the truth."),
    ] = None,
    router: Annotated[
        str | None, typer.Option(help="For --outcomes: bundle folder or registry address; default: the champion.")
    ] = None,
    epsilon: Annotated[float, typer.Option(help="How far from the best model's quality is near; 0..1.")] = 0.02,
    store: Annotated[Path | None, typer.Option(help="The log store; default: logs.store in mlflow.yaml.")] = None,
    out: Annotated[Path | None, typer.Option(help="Also write report.json and selection.png into this folder.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything that is drawn.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Print how often the choice was near the best, by tenant, kind and context, and what context would add.

    The best is what the log itself predicts, by fits that did not see the question; quality lost is doubly robust.
    Failed choices are told by model and kind of error, with what the fallback cost and lost. With --outcomes, a router
    decides each query of a table that says what every candidate would have got.
    """
    if outcomes is None:
        if router is not None:
            raise InputError("`--router` is for --outcomes: the log has its own choices")
        report = _of_log(since, epsilon, store, seed)
    else:
        if since is not None or store is not None:
            raise InputError("`--since` and `--store` are for the log, not for --outcomes")
        report = _of_outcomes(outcomes, router, epsilon, seed)
    for note in report.notes:
        say(f"warning: {note}")
    if out is not None:
        from beast_ml.operations.selection.plot import draw_selection

        out.mkdir(parents=True, exist_ok=True)
        (out / "report.json").write_text(json.dumps(report.to_dict(), indent=2) + "\n", "utf-8")
        draw_selection(out / "selection.png", report)
    if as_json:
        print_json(report.to_dict())
        return
    _show(report)
    if out is not None:
        written = f"{out / 'report.json'}, {out / 'selection.png'}"
        stdout.print(f"Written: {escape(written)}", highlight=False)


def _of_outcomes(path: Path, router: str | None, epsilon: float, seed: int) -> SelectionReport:
    from beast_ml.cli.report_router import bundle_of
    from beast_ml.evaluation.outcome_files import read_outcome_set
    from beast_ml.features.kinds import KIND_TABLE
    from beast_ml.operations.selection.known import known_selection
    from beast_ml.settings import load_settings

    settings = load_settings()
    read = read_outcome_set(path)
    if read.warning():
        say(f"warning: {read.warning()}")
    bundle = bundle_of(router, settings)
    if bundle is None:
        raise InputError("there is no router to judge: give --router, a bundle folder or a registry address")
    kinds = KIND_TABLE.extended(settings.kinds)
    return known_selection(read.matrix, bundle, epsilon=epsilon, kinds=kinds, seed=seed)


def _of_log(since: str | None, epsilon: float, store: Path | None, seed: int) -> SelectionReport:
    from beast_ml.cli.known_prices import known_prices
    from beast_ml.features.distill import static_encoder
    from beast_ml.features.kinds import KIND_TABLE
    from beast_ml.operations.selection.report import selection_report
    from beast_ml.settings import load_settings

    settings = load_settings()
    start = None if since is None else past_time("--since", since)
    log = log_store_at(store or settings.logs.store)
    logged = log.logged_outcomes(start).priced(known_prices(settings))
    failed = log.requests(["request_id", "attempts"], start, where="served_model IS DISTINCT FROM chosen_model")
    attempts = dict(zip(failed["request_id"].to_pylist(), failed["attempts"].to_pylist(), strict=True))
    with progress_bar() as progress:
        bars = Bars(progress)
        return selection_report(
            logged,
            static_encoder(progress=lambda done, total: bars.advance("distilling the encoder", done, total)),
            attempts,
            epsilon=epsilon,
            kinds=KIND_TABLE.extended(settings.kinds),
            seed=seed,
            progress=bars.advance,
        )


def _show(report: SelectionReport) -> None:
    from beast_ml.operations.selection.report import BY_PREDICTION

    rows = [
        (
            f"{each.field} {each.value}".strip(),
            f"{each.n:,}",
            f"{each.accuracy:.1%} [{each.accuracy_low:.1%}, {each.accuracy_high:.1%}]",
            f"{100 * each.regret:.2f} [{100 * each.regret_low:.2f}, {100 * each.regret_high:.2f}]"
            if each.regret_told
            else "the log cannot tell",
        )
        for each in report.accuracy[:_SHOWN]
    ]
    more = len(report.accuracy) - _SHOWN
    near = f"within {100 * report.epsilon:g} points of the {'predicted ' if report.is_predicted else ''}best"
    captions = [BY_PREDICTION] if report.is_predicted else []
    captions += [f"And {more} more, see --json."] if more > 0 else []
    print_table(
        "What was chosen", ["requests", "n", near, "points lost to it"], rows, caption=" ".join(captions) or None
    )
    if report.context:
        fields = [
            (
                each.field,
                f"{100 * each.gain:+.2f} [{100 * each.gain_low:+.2f}, {100 * each.gain_high:+.2f}]",
                "-" if each.gain_of_gap is None else f"{each.gain_of_gap:+.0%}",
            )
            for each in report.context
        ]
        columns = ["field", "quality, points", "of what routing by text gains"]
        print_table("What reading context adds to routing by the text, at equal cost", columns, fields)
    if report.fallbacks:
        failed = [
            (
                each.model,
                each.error_kind,
                f"{each.n_failed:,}",
                f"{each.rate:.1%}",
                f"{each.n_rescued:,}",
                "-" if each.extra_usd is None else f"{each.extra_usd:+.3g}",
                "-" if each.lost_quality is None else f"{100 * each.lost_quality:+.1f}",
            )
            for each in report.fallbacks[:_SHOWN]
        ]
        columns = ["model", "error", "failed", "rate", "fallback answered", "extra USD each", "points lost each"]
        print_table("Where the chosen model failed", columns, failed)
    stdout.print(escape(report.sentence()), highlight=False, style="bold")
