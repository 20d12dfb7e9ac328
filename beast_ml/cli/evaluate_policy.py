"""`beast evaluate policy`: what a policy that never ran would have got, from a log of one that did."""

from __future__ import annotations

from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from beast_ml.cli.output import Bars, JsonOption, one_of, print_json, print_table, progress_bar, say, stdout

if TYPE_CHECKING:
    from beast_ml.evaluation.off_policy.evaluate import PolicyEstimate, PolicyEvaluation

__all__ = ["policy"]

_LABELS: Final = {
    "dm": "DM",
    "ips": "IPS",
    "snips": "SNIPS",
    "clipped_ips": "clipped IPS",
    "dr": "DR",
    "switch_dr": "Switch-DR",
    "ppi": "PPI",
}


def policy(
    log: Annotated[
        Path,
        typer.Option(
            help="Parquet log: request_id, chosen_model, propensity, candidates, prompt, quality, cost_usd; "
            "received_at and served_model are read where they are there."
        ),
    ],
    target: Annotated[
        Path,
        typer.Option(help="Parquet with request_id, model, probability: what the policy would do on those requests."),
    ],
    out: Annotated[Path, typer.Option(help="Folder for report.json and policy.png.")],
    metric: Annotated[str, typer.Option(help="quality or cost_usd.")] = "quality",
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything that is drawn.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Estimate what another policy would have got on a log, and say whether the log can tell.

    Go by DR and the verdict; the other estimators stand beside it to compare. Low and high are 95% bounds; equal
    questions count as one piece of evidence. Where labels are missing, each that is there is weighted by how likely
    it was.
    """
    import msgspec

    from beast_ml.evaluation.off_policy.evaluate import evaluate_policy
    from beast_ml.evaluation.off_policy.plot import draw_evaluation
    from beast_ml.evaluation.off_policy.read import METRICS, read_policy_data
    from beast_ml.features.distill import static_encoder

    wanted = one_of("--metric", metric, METRICS)
    data = read_policy_data(log, target, wanted, datetime.now(UTC))
    warning = data.usage.warning()
    if warning:
        say(f"warning: {warning}")
    with progress_bar() as progress:
        bars = Bars(progress)
        encoder = static_encoder(progress=lambda done, total: bars.advance("distilling the encoder", done, total))
        found = evaluate_policy(data, encoder, seed, progress=bars.advance)
    report = found.report(wanted, data.usage)
    out.mkdir(parents=True, exist_ok=True)
    (out / "report.json").write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")
    draw_evaluation(out / "policy.png", found, wanted)
    if as_json:
        print_json(report)
        return
    _print(found, wanted)
    stdout.print(f"wrote {out}/report.json, policy.png", highlight=False, markup=False)


def _print(found: PolicyEvaluation, metric: str) -> None:
    digits = ".4f" if metric == "quality" else ".3g"
    rows = [_row(_LABELS[name], one, digits) for name, one in found.estimates.items()]
    rows += [_row("log's own", found.logged, digits), _row("DR - log's own", found.gain, digits)]
    diagnostics = found.diagnostics
    print_table(
        f"{metric} of the target policy on {diagnostics.n_rounds:,} requests, {diagnostics.n_labelled:,} labelled",
        ("", "value", "95% interval", "at every look", "ess"),
        rows,
        caption="Go by DR. At every look: to judge a growing log again and again. ess: effective sample size.",
    )
    if found.powered is not None:
        stdout.print(
            f"predictions of the unlabelled answers save {found.powered.labels_saved:.0%} of the labels",
            highlight=False,
            markup=False,
        )
    stdout.print(found.verdict.sentence, highlight=False, markup=False, style="bold")
    for reason in found.verdict.reasons[1:]:
        stdout.print(f"also: {reason}", highlight=False, markup=False)
    if found.verdict.exploration:
        stdout.print(found.verdict.exploration, highlight=False, markup=False)


def _row(label: str, one: PolicyEstimate, digits: str) -> tuple[str, str, str, str, str]:
    bounds, always = (
        f"[{ends[0]:{digits}}, {ends[1]:{digits}}]" if isfinite(ends[0]) or isfinite(ends[1]) else "-"
        for ends in (one.normal, one.always_valid)
    )
    return label, f"{one.value:{digits}}" if isfinite(one.value) else "-", bounds, always, f"{one.effective:,.0f}"
