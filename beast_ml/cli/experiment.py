"""`beast experiment`: design, start, watch, analyse and stop comparisons of policies on live requests."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from beast_ml.cli.experiment_analyze import analyze, shares_of
from beast_ml.cli.experiment_change import dropped_or_given, guardrails_of, variant_text, variants_of
from beast_ml.cli.experiment_guard import guard
from beast_ml.cli.output import JsonOption, one_of, print_json, print_table, say, stdout
from beast_ml.cli.server_calls import NEEDS_ADMIN_KEY, AdminKeyOption, UrlOption, call_server, own_admin_key
from beast_ml.errors import InputError

if TYPE_CHECKING:
    from beast_ml.experiments.changes import ExperimentChange
    from beast_ml.experiments.definitions import Experiment
    from beast_ml.experiments.experiments_file import Experiments

__all__ = ["app"]

app = typer.Typer(name="experiment", help="Compare policies on live requests.", no_args_is_help=True)

app.command()(analyze)
app.command()(guard)


_LOADS_S: Final = 5.0
"""How long `create` waits for a server to load a router that it has not followed so far."""

FileOption = Annotated[
    Path | None, typer.Option("--experiments", help="Instead of a server: the experiments' file itself.")
]


@app.callback()
def _experiment() -> None:
    """Compare policies on live requests: always-valid, so look as often as you like."""


@app.command()
def design(
    standard_deviation: Annotated[float, typer.Option("--sd", help="Standard deviation of a unit's value.")],
    effect: Annotated[float | None, typer.Option(help="The smallest effect to be found.")] = None,
    units: Annotated[int | None, typer.Option(help="Instead of --effect: units, to see what they can find.")] = None,
    shares: Annotated[str, typer.Option(help="Of the units, as control=0.5,new=0.5.")] = "control=0.5,new=0.5",
    alpha: Annotated[float, typer.Option(help="Probability of a claim where there is no effect.")] = 0.05,
    power: Annotated[float, typer.Option(help="Probability of finding the effect.")] = 0.8,
    units_per_day: Annotated[float | None, typer.Option(help="That take part; says how many days it takes.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Say how many units an experiment takes, looked at once or all the time, or what effect so many units can find."""
    from beast_ml.experiments.design import design_for_effect, design_for_units

    if (effect is None) == (units is None):
        raise InputError("give --effect or --units: one of them")
    meant = shares_of(shares)
    if "control" not in meant:
        raise InputError(f"`--shares` == {shares!r} has no control, must be like control=0.5,new=0.5")
    ordered = (meant.pop("control"), *meant.values())
    options: dict[str, Any] = {"alpha": alpha, "power": power, "units_per_day": units_per_day}
    if effect is not None:
        found = design_for_effect(effect, standard_deviation, ordered, **options)
    else:
        found = design_for_units(int(units or 0), standard_deviation, ordered, **options)
    if as_json:
        print_json(found.to_dict())
        return
    rows = [
        ("one look, at the end", found.n_fixed),
        ("all the time: on average, if the effect is so", found.n_mean),
        ("all the time: on average, if it is twice that", found.n_mean_at_twice),
        (f"all the time: at most, for power {power:.0%}", found.n_most),
    ]
    columns, days = ("looking", "units in all"), found.units_per_day is not None
    print_table(
        f"To find an effect of {found.effect:.4g}",
        (*columns, "days") if days else columns,
        [(*row, round(found.days(row[1]) or 0.0, 1)) if days else row for row in rows],
        caption=f"Analyse with --planned-units {found.planned_units}.",
    )


@app.command()
def create(
    name: Annotated[
        str | None, typer.Argument(metavar="ID", help="Its id: also the key by which units are drawn.")
    ] = None,
    variant: Annotated[
        list[str] | None, typer.Option(help="NAME=POLICY:SHARE, such as new=challenger:0.1; may be repeated.")
    ] = None,
    cache: Annotated[
        list[str] | None,
        typer.Option(
            help="How a variant is answered out of the cache: NAME=none, NAME=equal (to equal requests only), or "
            "NAME=SECONDS (nothing older); may be repeated."
        ),
    ] = None,
    control_share: Annotated[
        float | None, typer.Option(min=0.0, max=1.0, help="Of the champion's group; default: what is left.")
    ] = None,
    unit: Annotated[
        str | None, typer.Option(help="What is drawn: user, session or request; a new one's default: user.")
    ] = None,
    tenant: Annotated[
        list[str] | None,
        typer.Option(help="Only requests of this tenant; may be repeated."),
    ] = None,
    all_tenants: Annotated[bool, typer.Option("--all-tenants", help="Of everybody, no longer of some.")] = False,
    layer: Annotated[str | None, typer.Option(help="A layer whose experiments take disjoint units.")] = None,
    layer_share: Annotated[
        float | None, typer.Option(help="Of the layer's units; a new one's default: all of them.")
    ] = None,
    guardrail: Annotated[
        list[str] | None,
        typer.Option(help="METRIC=HARM, such as errors=0.02: stops a variant that is worse by more; may be repeated."),
    ] = None,
    no_guardrails: Annotated[bool, typer.Option("--no-guardrails", help="Drop those it has.")] = False,
    best_arm: Annotated[
        bool | None,
        typer.Option("--best-arm/--fixed-shares", help="Whether shares move by themselves to what is probably best."),
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="What --best-arm goes by, and is analysed first; a new one's default: quality.")
    ] = None,
    shadow: Annotated[str | None, typer.Option(help="A policy that also decides, without being served.")] = None,
    no_shadow: Annotated[bool, typer.Option("--no-shadow", help="Drop the one it has.")] = False,
    shadow_share: Annotated[
        float | None, typer.Option(min=0.0, max=1.0, help="Of the requests; a new one's default: all.")
    ] = None,
    from_report: Annotated[
        Path | None, typer.Option(help="Instead of ID: try a switch of this report.json of `beast report savings`.")
    ] = None,
    number: Annotated[int, typer.Option(min=1, help="Of the switch in --from-report.")] = 1,
    share: Annotated[float, typer.Option(min=0.0, max=1.0, help="Of the users, for --from-report.")] = 0.1,
    router: Annotated[
        str | None, typer.Option(help="Registry address of the report's router; default: the server's.")
    ] = None,
    url: UrlOption = None,
    key: AdminKeyOption = None,
    file: FileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Start an experiment, or change one: units stay in their variant as far as the shares allow.

    Of one that there is, what is not given stays as it is: guardrails, tenants, the best-arm mode, a shadow. What is
    given replaces what it had (all --variant, --tenant or --guardrail together).

    With --from-report, the champion under the switch's policy is registered as the challenger, and guardrails on
    errors and quality stop it by themselves.
    """
    from beast_ml.experiments.changes import ExperimentChange
    from beast_ml.experiments.log_metric_names import LOG_METRICS

    if from_report is not None:
        if name is not None or variant or shadow:
            raise InputError("--from-report names the experiment and its variants: give no ID, --variant or --shadow")
        _create_from_report(from_report, number, share, router, url, key, file, as_json)
        return
    if name is None:
        raise InputError("give an ID and --variant NAME=POLICY:SHARE, or --from-report REPORT.json")
    given = {
        "variants": variants_of(variant, control_share, cache),
        "unit": unit,
        "layer": layer,
        "layer_share": layer_share,
        "allocation": None if best_arm is None else "best-arm" if best_arm else "fixed",
        "metric": None if metric is None else one_of("--metric", metric, LOG_METRICS),
        "shadow_share": shadow_share,
    }
    change = ExperimentChange(
        id=name,
        status="running",
        tenants=dropped_or_given("--tenant", tenant and tuple(tenant), "--all-tenants", all_tenants, None),
        guardrails=dropped_or_given("--guardrail", guardrails_of(guardrail), "--no-guardrails", no_guardrails, ()),
        shadow=dropped_or_given("--shadow", shadow, "--no-shadow", no_shadow, None),
        **{field: value for field, value in given.items() if value is not None},  # type: ignore[arg-type]  # checked by the experiment
    )
    changed = _change(change, url, key, file)
    _show(changed, as_json, only=name)
    _tell_missing(changed, name, url, key, file, patience_s=_LOADS_S)


def _create_from_report(
    path: Path,
    number: int,
    share: float,
    router: str | None,
    url: str | None,
    key: str | None,
    file: Path | None,
    as_json: bool,
) -> None:
    from beast_ml.cli.savings_experiment import experiment_of
    from beast_ml.experiments.changes import ExperimentChange
    from beast_ml.operations.savings.recommendation import read_recommendation

    found = read_recommendation(path, number)
    experiment, said = experiment_of(found, share, router, _all(url, key, file))
    changed = _change(ExperimentChange.whole(experiment), url, key, file)
    _show(changed, as_json, only=experiment.id)
    _tell_missing(changed, experiment.id, url, key, file, patience_s=_LOADS_S)
    say(said)


@app.command()
def status(
    name: Annotated[str | None, typer.Argument(metavar="ID", help="Only this one.")] = None,
    url: UrlOption = None,
    key: AdminKeyOption = None,
    file: FileOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the experiments of a server, with their variants and shares; say where one's router is not loaded."""
    found = _all(url, key, file)
    _show(found, as_json, only=name)
    _tell_missing(found, name, url, key, file)


@app.command()
def stop(
    name: Annotated[str, typer.Argument(metavar="ID", help="Its id.")],
    url: UrlOption = None,
    key: AdminKeyOption = None,
    file: FileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Stop an experiment: all its units are served by the champion again, within a second."""
    from beast_ml.experiments.changes import ExperimentChange

    _only(_all(url, key, file), name)
    _show(_change(ExperimentChange(id=name, status="stopped"), url, key, file), as_json, only=name)


def _tell_missing(
    experiments: Experiments,
    only: str | None,
    url: str | None,
    key: str | None,
    file: Path | None,
    patience_s: float = 0.0,
) -> None:
    if file is not None:  # no server is asked
        return
    from beast_ml.cli.experiment_aliases import missing_aliases, warning_of_missing

    for alias, name in missing_aliases(experiments, only, url, key, patience_s).items():
        say(warning_of_missing(alias, name))


def _all(url: str | None, key: str | None, file: Path | None) -> Experiments:
    from beast_ml.experiments.experiments_file import read_experiments

    if file is not None:
        return read_experiments(file)
    return _decoded(
        call_server("GET", "/v1/admin/experiments", url=url, key=key or own_admin_key(), needs=NEEDS_ADMIN_KEY)
    )


def _change(change: ExperimentChange, url: str | None, key: str | None, file: Path | None) -> Experiments:
    import msgspec

    if file is not None:
        from beast_ml.experiments.followed import FollowedExperiments

        followed = FollowedExperiments(file)
        if followed.error is not None:
            raise InputError(followed.error)
        followed.change(change)
        return followed.experiments
    body = msgspec.to_builtins(change)
    return _decoded(
        call_server("POST", "/v1/admin/experiments", body, url=url, key=key or own_admin_key(), needs=NEEDS_ADMIN_KEY)
    )


def _decoded(answer: Any) -> Experiments:
    import msgspec

    from beast_ml.experiments.experiments_file import Experiments

    try:
        return msgspec.convert(answer, Experiments)
    except msgspec.ValidationError as error:
        raise InputError(f"the server's experiments are of another version than this command ({error})") from error


def _only(experiments: Experiments, name: str) -> Experiment:
    for each in experiments.experiments:
        if each.id == name:
            return each
    known = ", ".join(each.id for each in experiments.experiments) or "none"
    raise InputError(f"there is no experiment {name!r}, only {known}")


def _show(experiments: Experiments, as_json: bool, only: str | None) -> None:
    import msgspec

    shown = experiments.experiments if only is None else (_only(experiments, only),)
    if as_json:
        print_json([msgspec.to_builtins(each) for each in shown])
        return
    if not shown:
        say("no experiment was made yet: beast experiment create ID --variant new=challenger:0.1")
        return
    rows = [
        (
            each.id,
            each.status,
            ", ".join(map(variant_text, each.variants)) or f"shadow {each.shadow}",
            each.unit,
            "all" if each.tenants is None else ", ".join(each.tenants),
            "-" if each.layer is None else f"{each.layer} {each.layer_share:.3g}",
            "-" if not each.history else f"{each.history[0].at:%Y-%m-%d %H:%M}",
        )
        for each in shown
    ]
    print_table("Experiments", ("id", "status", "variants", "unit", "tenants", "layer", "since"), rows)
    for each in shown:
        for stop in each.stops:
            line = f"{each.id}: a guardrail stopped {stop.variant!r} on {stop.at:%Y-%m-%d %H:%M} UTC: it is {stop.why}"
            stdout.print(line, highlight=False, markup=False)
        if only is not None and each.status == "running" and each.variants:
            stdout.print(
                f"what it says so far: beast experiment analyze --experiment {each.id} --out beast-out/{each.id}",
                highlight=False,
                markup=False,
            )
