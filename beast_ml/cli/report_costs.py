"""`beast report costs`: what was spent on what, whether the ledger agrees, and what it will come to."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, cast

import typer
from rich.markup import escape

from beast_ml.cli.output import Bars, JsonOption, print_json, print_table, progress_bar, say, stdout
from beast_ml.cli.past_time import past_time
from beast_ml.places import place

if TYPE_CHECKING:
    from beast_ml.operations.costs.policy_what_if import PolicyWhatIf
    from beast_ml.operations.costs.question import CostQuestion, Dimension
    from beast_ml.operations.costs.report import CostReport
    from beast_ml.settings import Settings

__all__ = ["report_costs"]

_SHOWN: Final = 25


def report_costs(
    by: Annotated[
        str, typer.Option(help="Any of request, model, user, tenant, app, kind, day, with commas between; none: total.")
    ] = "model",
    since: Annotated[
        str | None, typer.Option(help="A time (2026-11-25T08:00Z), or how long ago (24h, 30d); default: the whole log.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="A time, likewise; requests received before it count.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Whose requests; default: everybody's.")] = None,
    price: Annotated[
        list[str] | None,
        typer.Option(help="MODEL=IN,OUT, USD per million tokens: what these requests cost at it; may be repeated."),
    ] = None,
    router: Annotated[
        str | None,
        typer.Option(
            help="Bundle folder or registry address: what its policy would have cost; none: one learnt from the log."
        ),
    ] = None,
    willingness: Annotated[
        float | None, typer.Option(help="What it would have cost at this many USD for a unit of quality.")
    ] = None,
    store: Annotated[
        Path | None, typer.Option(parser=place, help="The log store; default: logs.store in mlflow.yaml.")
    ] = None,
    export: Annotated[Path | None, typer.Option(help="Also write all groups to this .csv or .parquet file.")] = None,
    out: Annotated[Path | None, typer.Option(help="Also write report.json and costs.png into this folder.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything that is drawn.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Print what requests cost, exact to the nano-dollar, predicted against actual, and a forecast to the month's end.

    Where there is a budget ledger, the log is reconciled with it, account by account. Days are UTC.
    """
    import numpy as np

    from beast_ml.cli.known_prices import given_price
    from beast_ml.cli.ledger_accounts import ledger_accounts
    from beast_ml.logs.store import LogStore
    from beast_ml.operations.costs.export import check_export, export_table
    from beast_ml.operations.costs.known_names import check_names
    from beast_ml.operations.costs.question import CostQuestion
    from beast_ml.operations.costs.report import cost_report
    from beast_ml.operations.costs.spending import read_spending
    from beast_ml.settings import load_settings

    settings = load_settings()
    question = CostQuestion(
        by=cast("tuple[Dimension, ...]", tuple(name.strip() for name in by.split(",") if name.strip() != "none")),
        since=None if since is None else past_time("--since", since),
        until=None if until is None else past_time("--until", until),
        tenant=tenant,
        prices=dict(given_price(text) for text in price or ()),
        limit=_SHOWN,
    )
    if export is not None:
        check_export(export)
    log = LogStore(store or settings.logs.store)
    check_names(log, question)
    report = cost_report(log, question, ledger_accounts(settings, tenant), rng=np.random.default_rng(seed))
    if router is not None or willingness is not None:
        report = replace(report, policy=_what_if(log, question, router, willingness, settings, seed))
    for note in report.notes:
        say(f"note: {note}")
    written = []
    if export is not None:
        export_table(read_spending(log, replace(question, limit=None)).groups, export)
        written.append(export)
    if out is not None:
        written += _write(out, log, question, report)
    if as_json:
        print_json(report.to_dict())
        return
    _show(report)
    if written:
        stdout.print(f"Written: {escape(', '.join(map(str, written)))}", highlight=False)


def _what_if(
    log: Any, question: CostQuestion, router: str | None, willingness: float | None, settings: Settings, seed: int
) -> PolicyWhatIf:
    from beast_ml.cli.known_prices import known_prices
    from beast_ml.cli.report_router import bundle_of
    from beast_ml.features.distill import static_encoder
    from beast_ml.operations.costs.policy_what_if import what_if_policy
    from beast_ml.operations.savings.log import repriced

    logged = log.logged_outcomes(where=question.where()).priced(known_prices(settings))
    bundle = bundle_of(router, settings)
    if question.prices:
        logged = repriced(logged, question.prices)
        bundle = None if bundle is None else bundle.with_prices(question.prices)
    with progress_bar() as progress:
        bars = Bars(progress)
        encoder = static_encoder(progress=lambda done, total: bars.advance("distilling the encoder", done, total))
        return what_if_policy(logged, encoder, bundle, willingness, seed=seed, progress=bars.advance)


def _write(out: Path, log: Any, question: CostQuestion, report: CostReport) -> list[Path]:
    from beast_ml.operations.costs.plot import draw_costs
    from beast_ml.operations.costs.report import daily_spending

    out.mkdir(parents=True, exist_ok=True)
    written, drawn = out / "report.json", out / "costs.png"
    written.write_text(json.dumps(report.to_dict(), indent=2) + "\n", "utf-8")
    rows = daily_spending(log, question).groups.to_pylist()
    draw_costs(drawn, rows, report.forecast, (report.forecast or report.spending).sentence())
    return [written, drawn]


def _show(report: CostReport) -> None:
    spending = report.spending
    dimensions = list(spending.question.by)
    groups = spending.groups.to_pylist()
    predicted = any(row["predicted_requests"] for row in groups)
    repriced = "repriced_usd" in spending.groups.column_names
    columns = [*dimensions, "requests", "USD", "USD each"]
    columns += ["actual / predicted"] * predicted + ["USD at new prices"] * repriced
    rows = [
        [
            *(row[name] or "-" for name in dimensions),
            f"{row['requests']:,}",
            f"{row['cost_usd']:,.6f}" if row["cost_known"] else "-",
            "-" if row["usd_per_request"] is None else f"{row['usd_per_request']:.4g}",
            *([_ratio(row)] * predicted),
            *([f"{row['repriced_usd']:,.6f}" if row["repriced_known"] else "-"] if repriced else []),
        ]
        for row in groups
    ]
    if rows:
        more = spending.n_groups - len(rows)
        print_table(
            f"Costs by {', '.join(dimensions)}",
            columns,
            rows,
            caption=f"and {more:,} more: --export FILE has them all" if more > 0 else None,
        )
    for sentence in report.sentences():
        stdout.print(escape(sentence), highlight=False)


def _ratio(row: dict[str, Any]) -> str:
    value, low, high = (row[f"actual_over_predicted{end}"] for end in ("", "_low", "_high"))
    if value is None:
        return "-"
    return f"{value:.2f}" if low is None else f"{value:.2f} [{low:.2f}, {high:.2f}]"
