"""`beast report savings`: which switches would save how much at what quality, from the log itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.markup import escape

from beast_ml.cli.output import Bars, JsonOption, print_json, print_table, progress_bar, say, stdout
from beast_ml.cli.past_time import past_time
from beast_ml.cli.report_router import bundle_of
from beast_ml.cli.training_data import log_store_at

if TYPE_CHECKING:
    from beast_ml.operations.savings.report import SavingsReport
    from beast_ml.settings import Settings

__all__ = ["report_savings"]

_SHOWN: Final = 15


def report_savings(
    since: Annotated[
        str | None, typer.Option(help="A time (2026-11-25T08:00Z), or how long ago (24h, 30d); default: the whole log.")
    ] = None,
    router: Annotated[
        str | None,
        typer.Option(
            help="Bundle folder or registry address; none: learn from the log; default: the champion, if any."
        ),
    ] = None,
    price: Annotated[
        list[str] | None,
        typer.Option(help="MODEL=IN,OUT, USD per million tokens: decide again at this price; may be repeated."),
    ] = None,
    apply: Annotated[
        int | None, typer.Option(help="Start the switch of this number as an experiment, or say what to do instead.")
    ] = None,
    share: Annotated[float, typer.Option(min=0.0, max=1.0, help="Of the users, for --apply.")] = 0.1,
    store: Annotated[Path | None, typer.Option(help="The log store; default: logs.store in mlflow.yaml.")] = None,
    out: Annotated[Path | None, typer.Option(help="Also write report.json and savings.png into this folder.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything that is drawn.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Print which switches of model, floor, cache, budget or price would save how much, at what quality.

    Doubly robust, against what the log's policy did. Switches are ranked on one half of the questions, with intervals
    that hold for all of them at once; the best is checked on the other half. At most a point of quality may be lost.
    """
    from beast_ml.cli.known_prices import given_price, known_prices
    from beast_ml.features.distill import static_encoder
    from beast_ml.operations.savings.report import savings_report
    from beast_ml.settings import load_settings

    settings = load_settings()
    start = None if since is None else past_time("--since", since)
    prices = dict(given_price(text) for text in price or ())
    logged = log_store_at(store or settings.logs.store).logged_outcomes(start).priced(known_prices(settings))
    bundle = bundle_of(router, settings)
    with progress_bar() as progress:
        bars = Bars(progress)
        encoder = static_encoder(progress=lambda done, total: bars.advance("distilling the encoder", done, total))
        report = savings_report(
            logged,
            encoder,
            bundle=bundle,
            prices=prices,
            life_s=settings.cache.life_s,
            seed=seed,
            progress=bars.advance,
        )
    for note in report.notes:
        say(f"warning: {note}")
    if out is not None:
        from beast_ml.operations.savings.plot import draw_savings

        out.mkdir(parents=True, exist_ok=True)
        (out / "report.json").write_text(json.dumps(report.to_dict(), indent=2) + "\n", "utf-8")
        draw_savings(out / "savings.png", report)
    applied = None if apply is None else _apply(report, apply, share, router, settings)
    if as_json:
        print_json(report.to_dict() | ({} if applied is None else {"applied": applied}))
        return
    _show(report, out)
    if applied is not None:
        stdout.print(escape(applied), highlight=False)
    if out is not None:
        stdout.print(
            f"Written: {escape(str(out / 'report.json'))}, {escape(str(out / 'savings.png'))}", highlight=False
        )


def _show(report: SavingsReport, out: Path | None) -> None:
    rows = [
        (
            number,
            each.switch.name,
            f"{report.spent_usd * each.estimate.saving:,.4g}",
            f"{each.estimate.saving:.1%} [{each.estimate.saving_low:.1%}, {each.estimate.saving_high:.1%}]",
            _points(each.estimate.quality, each.estimate.quality_low, each.estimate.quality_high),
            "yes" if each.estimate.recommended else "no" if each.estimate.trusted else each.estimate.verdict.answer,
        )
        for number, each in enumerate(report.ranked[:_SHOWN], 1)
    ]
    more = len(report.ranked) - _SHOWN
    print_table(
        f"What saves, of ${report.spent_usd:,.4g} a month; {report.n_requests:,} requests in {report.days:.3g} days",
        ("", "switch", "$ a month", "saving", "quality, points", "recommended"),
        rows,
        caption="95% intervals hold for all switches at once." + (f" And {more} more, see --json." if more > 0 else ""),
    )
    if report.price_change is not None:
        stdout.print(
            f"The new prices alone change the cost by {report.price_change:+.1%}. A router decides by them, untrained "
            "anew, once they stand under `candidates` in mlflow.yaml.",
            highlight=False,
        )
    stdout.print(escape(report.sentence()), highlight=False, style="bold")
    if report.best is not None:
        stdout.print(f"  next  {escape(report.best.switch.how)}", highlight=False)
        if report.best.switch.policy is not None:
            again = "the same command with --apply 1"
            started = again if out is None else f"beast experiment create --from-report {out / 'report.json'}"
            stdout.print(f"        {escape(started)}", highlight=False)


def _points(value: float, low: float, high: float) -> str:
    return f"{100 * value:+.2f} [{100 * low:+.2f}, {100 * high:+.2f}]"


def _apply(report: SavingsReport, number: int, share: float, router: str | None, settings: Settings) -> str:
    from beast_ml.cli.savings_experiment import experiment_of
    from beast_ml.experiments.experiments_file import EXPERIMENTS_FILE, read_experiments
    from beast_ml.experiments.followed import FollowedExperiments
    from beast_ml.operations.savings.recommendation import recommendation

    found = recommendation(report, report.number(number))
    if found.policy is None:
        can = [str(number) for number, each in enumerate(report.ranked, 1) if each.switch.policy is not None]
        others = f". What can be tried so: --apply {', '.join(can)}" if can else ""
        return f"{found.name}: no experiment of two routers can show this. Do instead: {found.how}{others}"
    file = settings.serving.state / EXPERIMENTS_FILE
    experiment, said = experiment_of(found, share, router, read_experiments(file))
    FollowedExperiments(file).put(experiment)
    return said
