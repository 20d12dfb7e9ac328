"""`beast experiment analyze`: what an experiment says, whenever one looks."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from beast_ml.cli.output import JsonOption, one_of, print_json, print_table, say, stdout
from beast_ml.errors import InputError

if TYPE_CHECKING:
    from beast_ml.experiments.analysis import ExperimentAnalysis
    from beast_ml.experiments.verdict import ExperimentVerdict

__all__ = ["analyze", "shares_of", "show_analysis"]


def analyze(
    out: Annotated[Path, typer.Option(help="Folder for report.json, effects.png, p_values.png and forest.png.")],
    data: Annotated[
        Path | None, typer.Option(help="Parquet with unit_id, variant, value, observed_at; the reference is `control`.")
    ] = None,
    experiment: Annotated[
        str | None, typer.Option(help="Instead of --data: the id of an experiment, read from the log store.")
    ] = None,
    metric: Annotated[
        str, typer.Option(help="What the values are; with --experiment quality, cost, latency, errors or feedback.")
    ] = "quality",
    alpha: Annotated[float, typer.Option(help="Probability of ever claiming a difference where there is none.")] = 0.05,
    control: Annotated[
        str, typer.Option(help="Over several variants: holm (any false finding), fdr (their share), or none.")
    ] = "holm",
    covariate: Annotated[
        list[str] | None,
        typer.Option(help="A column known before the variant acts, to adjust by; may be repeated. `before`: the past."),
    ] = None,
    shares: Annotated[
        str | None, typer.Option(help="Meant shares, as control=0.5,new=0.5: checked against how units are divided.")
    ] = None,
    planned_units: Annotated[
        int, typer.Option(min=2, help="Units of two variants at which intervals are to be tightest.")
    ] = 2_000,
    worth: Annotated[float, typer.Option(min=0.0, help="The least improvement that is worth a change.")] = 0.0,
    lower_is_better: Annotated[
        bool | None, typer.Option("--lower-is-better/--higher-is-better", help="Default: by the metric's name.")
    ] = None,
    store: Annotated[Path | None, typer.Option(help="The log store; default: logs.store in mlflow.yaml.")] = None,
    experiments: Annotated[
        Path | None, typer.Option(help="The experiments' file; default: experiments.json in serving.state.")
    ] = None,
    plots: Annotated[bool, typer.Option("--plots/--no-plots", help="Draw the pictures.")] = True,
    track: Annotated[bool, typer.Option("--track", help="Record it as a run in MLflow.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Compare each variant with the control; p-values and intervals hold however often you look.

    Look daily, or after every request: the probability that a difference is ever claimed where there is none stays
    at --alpha. `stopped_at` in report.json is when the first one was found. With --experiment, no variant that breaks
    one of the experiment's guardrails is to be shipped, whatever the metric says.
    """
    from beast_ml.experiments.analysis import analyze as analyze_observations
    from beast_ml.experiments.log_metric_names import LOWER_IS_BETTER
    from beast_ml.experiments.multiplicity import MULTIPLICITIES
    from beast_ml.experiments.observation_files import read_observations, report_of, write_report
    from beast_ml.experiments.sequential_test import SequentialConfig
    from beast_ml.experiments.verdict import reach_verdict

    config = SequentialConfig(alpha, planned_units)
    multiplicity = one_of("--control", control, MULTIPLICITIES)
    if (data is None) == (experiment is None):
        raise InputError("give --data FILE or --experiment ID: one of them, to say what is to be analysed")
    meant = None if shares is None else shares_of(shares)
    harmed: dict[str, str] = {}
    if data is not None:
        observations = read_observations(data, datetime.now(UTC), tuple(covariate or ()))
    else:
        from beast_ml.cli.experiment_log import logged_experiment

        logged = logged_experiment(str(experiment), metric, store, experiments, tuple(covariate or ()))
        observations, harmed = logged.observations, logged.harmed
        meant = logged.shares if meant is None else meant
    analysis = analyze_observations(observations, metric, config, multiplicity, meant)
    lower = metric in LOWER_IS_BETTER if lower_is_better is None else lower_is_better
    verdict = reach_verdict(analysis, lower_is_better=lower, worth=worth, harmed=harmed)
    report = report_of(analysis, verdict)
    written = [write_report(out, report)]
    if plots:
        from beast_ml.experiments.plots import draw_experiment

        written += draw_experiment(out, analysis)
    if track:
        from beast_ml.cli.experiment_log import track_analysis

        say(f"recorded as run {track_analysis(analysis, verdict, out, experiment)}")
    if as_json:
        print_json(report)
        return
    show_analysis(analysis, verdict)
    stdout.print(f"wrote {out}/{', '.join(path.name for path in written)}", highlight=False, markup=False)


def shares_of(text: str) -> dict[str, float]:
    """Return the shares in a text such as "control=0.9,new=0.1".

    Raises
    ------
    InputError
        If it is none.
    """
    shares = {}
    for part in filter(None, (each.strip() for each in text.split(","))):
        name, _, number = part.partition("=")
        try:
            shares[name.strip()] = float(number)
        except ValueError:
            raise InputError(f"{part!r} in {text!r} is no share, must be like control=0.5,new=0.5") from None
    if not shares or not all(0.0 < share <= 1.0 for share in shares.values()):
        raise InputError(f"shares {text!r}: must be like control=0.5,new=0.5, each above 0 and at most 1")
    return shares


def show_analysis(analysis: ExperimentAnalysis, verdict: ExperimentVerdict) -> None:
    """Print the table of variants and the verdict."""
    for reason, n in analysis.excluded.items():
        say(f"left out: {n} rows ({reason})")
    for note in analysis.notes:
        say(note)
    rows: list[tuple[object, ...]] = [("control", analysis.n_control_units, f"{analysis.control:.4g}", "", "", "", "")]
    rows += [
        (
            each.name,
            each.n_units,
            "-" if each.value is None else f"{each.value:.4g}",
            "-" if each.effect is None else f"{each.effect:+.4g}",
            "-" if each.low is None or each.high is None else f"{each.low:+.4g} .. {each.high:+.4g}",
            f"{each.p_value:.2g}",
            "-" if each.found_at is None else f"{each.found_at:%Y-%m-%d %H:%M}",
        )
        for each in analysis.comparisons
    ]
    level = 1.0 - analysis.interval_alpha
    print_table(
        f"{analysis.metric}, {analysis.n_looks:,} moments to look at",
        ("variant", "units", "mean", "effect", f"{100 * level:.3g}% interval", "p-value", "found"),
        rows,
        caption="Always-valid: hold however often you look; p-values are adjusted for the number of variants.",
    )
    stdout.print(verdict.sentence, highlight=False, markup=False, style="bold")
    for reason in verdict.reasons[1:]:
        stdout.print(f"  {reason}", highlight=False, markup=False)
