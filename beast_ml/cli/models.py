"""`beast models add`: a new candidate model in a router that is there, without retraining."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from beast_ml.cli.output import JsonOption, print_json, print_table, say, stdout
from beast_ml.errors import InputError

if TYPE_CHECKING:
    from beast_ml.bundle.add_candidate import AddedCandidate, Newcomer
    from beast_ml.domain import Price

__all__ = ["app"]

app = typer.Typer(name="models", help="The candidate models of a router.", no_args_is_help=True)


@app.callback()
def _models() -> None:
    """Change the candidate models of a router."""


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="The new model, as logs will name it.")],
    source: Annotated[
        str, typer.Option("--from", help="Bundle folder, or registry address: the router to add it to.")
    ] = "models:/beast-router@champion",
    prompts: Annotated[
        Path | None,
        typer.Option(help="Prompts such as the router sees: an outcome or prompt table, or .txt with one a line."),
    ] = None,
    input_price: Annotated[float | None, typer.Option(help="USD per million input tokens.")] = None,
    output_price: Annotated[float | None, typer.Option(help="USD per million output tokens.")] = None,
    expected_quality: Annotated[float | None, typer.Option(help="Mean quality you expect, 0..1.")] = None,
    benchmark: Annotated[
        list[str] | None,
        typer.Option(help="Published score as MODEL=0.71, of the new model and of known ones; repeatable."),
    ] = None,
    n_probes: Annotated[int, typer.Option(min=1, help="How many prompts to pick for it to answer.")] = 50,
    out: Annotated[
        Path, typer.Option(help="Where the picked prompts go, to be answered: .parquet, .csv or .jsonl.")
    ] = Path("beast-out/probes.csv"),
    probes: Annotated[Path | None, typer.Option(help="The same file with answers judged (`quality`, 0..1).")] = None,
    to: Annotated[
        Path | None, typer.Option(help="Folder of the new bundle, where it does not come from the registry.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Add a candidate model: at once by price and benchmark, then again by its answers to a few picked prompts.

    Without --probes the model is added on what is expected of it, and the prompts that would tell most are written to
    --out. Put them to the model, fill in `quality` (and tokens, cost, latency where you have them), and run the same
    command with --probes. The others are not retrained.
    """
    from beast_ml.bundle.add_candidate import Newcomer, add_candidate
    from beast_ml.cli.known_prices import known_prices
    from beast_ml.cli.probe_files import read_answers, read_prompts
    from beast_ml.operations.onboarding import onboard
    from beast_ml.registry.config import TrackingConfig
    from beast_ml.registry.resolve import resolve_version
    from beast_ml.settings import load_settings

    if prompts is None:
        raise InputError("no `--prompts`: the candidates are compared on prompts such as your router sees, give a file")
    if to is not None and source.startswith("models:"):
        raise InputError(
            f"`--to` is for a router from a folder; the one from {source} is registered again with the new model: "
            "leave `--to` out, or name a bundle folder with --from"
        )
    settings = load_settings()
    queries = read_prompts(prompts)
    pool_prices = known_prices(settings)
    price = _price(input_price, output_price) or pool_prices.get(name)
    new = Newcomer(name, price, expected_quality, _scores(benchmark or []), pool_prices)
    answers = None if probes is None else read_answers(probes, name)
    share = None
    if source.startswith("models:"):
        tracking = TrackingConfig(**settings.tracking.model_dump())
        found = resolve_version(source, tracking)
        result = onboard(found, new, list(queries.prompts), answers, tracking=tracking)
        added, base, share = result.added, found.path, result.share
        where = result.registered.uri
    else:
        base = Path(source)
        n = 0 if answers is None else len(answers.prompts)
        folder = to or Path("beast-out") / f"{name.replace('/', '-')}-{n}-probes"
        added = add_candidate(base, folder, new, list(queries.prompts), answers)
        where = str(folder)
    n_written = 0 if answers is not None else _write_picked(base, new, queries.prompts, queries.ids, n_probes, out)
    if as_json:
        print_json(_summary(name, added, where) | ({"probes": out, "n_probes": n_written} if n_written else {}))
        return
    _show(name, added)
    stdout.print(f"the router with it: {where}", highlight=False, markup=False)
    if share:
        least = "the least that its answers allow" if answers is not None else "wrong, until its answers are judged"
        say(f"{name} would get {share:.0%} of your prompts; `beast promote` counts it there as {least}")
    if n_written:
        stdout.print(
            f"{n_written} prompts to answer: {out}. Fill in `quality`, then run this again with --probes {out}",
            highlight=False,
            markup=False,
        )


def _write_picked(
    base: Path, new: Newcomer, prompts: tuple[str, ...], ids: tuple[str, ...], n_probes: int, out: Path
) -> int:
    from beast_ml.bundle.add_candidate import pick_probes
    from beast_ml.cli.probe_files import write_probes

    picked = pick_probes(base, new, prompts, n_probes)
    write_probes(out, new.name, [ids[i] for i in picked], [prompts[i] for i in picked])
    return len(picked)


def _price(input_price: float | None, output_price: float | None) -> Price | None:
    from beast_ml.domain import Price

    if input_price is None and output_price is None:
        return None
    if input_price is None or output_price is None:
        raise InputError("one of --input-price and --output-price is given: give both, in USD per million tokens")
    return Price(input_price, output_price)


def _scores(pairs: list[str]) -> dict[str, float] | None:
    scores = {}
    for pair in pairs:
        model, _, score = pair.rpartition("=")
        try:
            scores[model] = float(score)
        except ValueError:
            model = ""
        if not model:
            raise InputError(f"`--benchmark` == {pair!r}, must be MODEL=SCORE such as gpt-5=0.71")
    return scores or None


def _summary(name: str, added: AddedCandidate, where: str) -> dict[str, object]:
    quality = {
        model: {"mean": mean, "low": low, "high": high} for model, (mean, low, high) in added.expected_quality.items()
    }
    learnt = added.learnt
    return {
        "model": name,
        "router": where,
        "digest": added.manifest.digest,
        "n_probes": learnt.n_probes,
        "prior_quality": added.prior_quality,
        "expected_quality": quality,
    }


def _show(name: str, added: AddedCandidate) -> None:
    rows = [
        (f"{model} (new)" if model == name else model, mean, f"{low:.3f} to {high:.3f}")
        for model, (mean, low, high) in sorted(added.expected_quality.items(), key=lambda item: -item[1][0])
    ]
    learnt = added.learnt
    of = f"{learnt.n_probes} judged answers" if learnt.n_probes else "what is expected of it, no answer yet"
    print_table(
        f"Expected quality on your prompts; {name} by {of} (expected before: {added.prior_quality:.3f})",
        ("model", "quality", "90% interval"),
        rows,
    )
