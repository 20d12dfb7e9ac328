"""`beast models add`: a new candidate model in a router that is there, without retraining."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from beast_ml.cli.live_answers import JudgeOption, MaxTokensOption, MaxUsdOption
from beast_ml.cli.named_numbers import named_numbers
from beast_ml.cli.output import JsonOption, print_json, print_table, stdout
from beast_ml.errors import InputError

if TYPE_CHECKING:
    from beast_ml.bundle.add_candidate import AddedCandidate, Newcomer, ProbeResults
    from beast_ml.cli.live_answers import LiveAnswers
    from beast_ml.cli.probe_files import PromptFile
    from beast_ml.domain import Price
    from beast_ml.domain.endpoint import Endpoint
    from beast_ml.settings import Settings

__all__ = ["add_model"]


def add_model(
    name: Annotated[str, typer.Argument(help="The new model, as logs will name it.")],
    source: Annotated[
        str, typer.Option("--from", help="Bundle folder, or registry address: the router to add it to.")
    ] = "models:/beast-router@champion",
    endpoint: Annotated[
        str | None, typer.Option(help="Address of its OpenAI-compatible API: then it is asked, and not you.")
    ] = None,
    provider_model: Annotated[str, typer.Option(help="What it is called there; default: its name.")] = "",
    api_key_env: Annotated[str, typer.Option(help="The environment variable that holds its key.")] = "",
    prompts: Annotated[
        Path | None,
        typer.Option(
            help="Prompts such as the router sees: an outcome or prompt table, or .txt with one a line; default: the "
            "latest of your log."
        ),
    ] = None,
    price: Annotated[
        str | None, typer.Option(metavar="IN,OUT", help="USD per million input and output tokens, such as 0.5,1.5.")
    ] = None,
    input_price: Annotated[float | None, typer.Option(help="USD per million input tokens.")] = None,
    output_price: Annotated[float | None, typer.Option(help="USD per million output tokens.")] = None,
    expected_quality: Annotated[float | None, typer.Option(help="Mean quality you expect, 0..1.")] = None,
    benchmark: Annotated[
        list[str] | None,
        typer.Option(help="Published score as MODEL=0.71, of the new model and of known ones; repeatable."),
    ] = None,
    n_probes: Annotated[
        int, typer.Option("--n-probes", "--probe", min=1, help="How many prompts to pick for it to answer.")
    ] = 50,
    judge: JudgeOption = None,
    max_usd: MaxUsdOption = 1.0,
    max_tokens: MaxTokensOption = 1024,
    out: Annotated[
        Path, typer.Option(help="Where the picked prompts go, with answers if it was asked: .parquet, .csv or .jsonl.")
    ] = Path("beast-out/probes.csv"),
    probes: Annotated[Path | None, typer.Option(help="The same file with answers judged (`quality`, 0..1).")] = None,
    to: Annotated[
        Path | None, typer.Option(help="Folder of the new bundle, where it does not come from the registry.")
    ] = None,
    write: Annotated[bool, typer.Option("--write", help="Write its price and endpoint into mlflow.yaml here.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Add a candidate model: at once by price and benchmark, then by its answers to a few picked prompts.

    With --endpoint all of it is one command: the prompts that would tell most are put to the model, --judge grades its
    answers, and the router with it is registered as challenger. Run again, it asks only what was not answered.

    Without, the prompts are written to --out. Put them to the model, fill in `quality` (and tokens, cost, latency where
    you have them), and run the same command with --probes. The others are not retrained.
    """
    from beast_ml.bundle.add_candidate import Newcomer
    from beast_ml.cli.known_prices import known_prices
    from beast_ml.cli.probe_files import logged_prompts, read_answers, read_prompts
    from beast_ml.cli.settings_file import lines_of, settings_of_model, write_settings
    from beast_ml.logs.store import LogStore
    from beast_ml.settings import load_settings

    began = time.perf_counter()
    if to is not None and source.startswith("models:"):
        raise InputError(
            f"`--to` is for a router from a folder; the one from {source} is registered again with the new model: "
            "leave `--to` out, or name a bundle folder with --from"
        )
    if endpoint is not None and probes is not None:
        raise InputError("`--endpoint` asks the model, `--probes` has its answers: give one of the two")
    settings = load_settings()
    queries = read_prompts(prompts) if prompts is not None else logged_prompts(LogStore(settings.logs.store))
    pool_prices = known_prices(settings)
    own_price = _price(price, input_price, output_price) or pool_prices.get(name)
    new = Newcomer(
        name,
        own_price,
        expected_quality,
        named_numbers("--benchmark", benchmark or [], "gpt-5=0.71") or None,
        pool_prices,
    )
    address = None if endpoint is None else _endpoint(name, endpoint, provider_model, api_key_env)
    base, version = _base(source, settings)
    answers, live, n_picked = None, None, 0
    if probes is not None:
        answers = read_answers(probes, name)
    elif address is None:
        n_picked = _write_picked(base, new, queries.prompts, queries.ids, n_probes, out)
    else:
        limits = {"max_usd": max_usd, "max_tokens": max_tokens}
        live = _ask(base, new, queries, prompts, n_probes, address, judge, out, settings, limits)
        answers = read_answers(out, name) if any(each.quality is not None for each in live.answers) else None
        live.warn(max_usd)
    added, where, told = _added(base, version, new, queries.prompts, answers, to, settings)
    entries = settings_of_model(name, own_price, address)
    if write:
        write_settings(Path("mlflow.yaml"), entries)
    summary = _summary(name, added, where) | told
    summary |= {"probes": out, "n_probes": n_picked} if n_picked else {}
    if live is not None:
        summary |= {"probes": out, "asked": live.to_dict(), "seconds": time.perf_counter() - began}
    if as_json:
        print_json(summary)
        return
    _show(name, added)
    lines = [f"the router with it: {where}"]
    if live is not None:
        lines.append(
            f"{name} answered {live.n_answered} of {len(live.answers)} prompts in {live.seconds:.0f} s, for "
            f"{live.spent_usd:.3g} USD with the judge's; answers and grades: {out}"
        )
    if told.get("share"):
        least = "the least that its answers allow" if answers is not None else "wrong, until its answers are judged"
        lines.append(
            f"{name} would get {told['share']:.0%} of your prompts; `beast promote` counts it there as {least}"
        )
    again = f"Fill in `quality`, then run this again with --probes {out}"
    if n_picked:
        lines.append(f"{n_picked} prompts to answer: {out}. {again}")
    elif live is not None and answers is None:
        lines.append(f"No answer is graded. {again} in place of --endpoint, or with --judge")
    if live is not None or write:
        lines.append(f"in mlflow.yaml{' now' if write else ', or run this again with --write'}:\n{lines_of(entries)}")
    lines += _next_steps(told, version is not None)
    stdout.print("\n".join(lines), highlight=False, markup=False)


def _base(source: str, settings: Settings) -> tuple[Path, Any]:
    """Return the bundle's folder and, where it comes from the registry, its version."""
    if not source.startswith("models:"):
        return Path(source), None
    from beast_ml.registry.config import TrackingConfig
    from beast_ml.registry.resolve import resolve_version

    found = resolve_version(source, TrackingConfig(**settings.tracking.model_dump()))
    return found.path, found


def _ask(
    base: Path,
    new: Newcomer,
    queries: PromptFile,
    prompts: Path | None,
    n_probes: int,
    address: Endpoint,
    judge: str | None,
    out: Path,
    settings: Settings,
    limits: dict[str, Any],
) -> LiveAnswers:
    from beast_ml.bundle.add_candidate import pick_probes
    from beast_ml.cli.known_prices import known_prices
    from beast_ml.cli.live_answers import ask_live, write_answers
    from beast_ml.cli.probe_files import read_references
    from beast_ml.serving.asking.round import Question

    references = {} if prompts is None else read_references(prompts)
    picked = pick_probes(base, new, queries.prompts, n_probes)
    questions = [
        Question(queries.ids[i], queries.prompts[i], references.get(queries.ids[i]), queries.tasks[i]) for i in picked
    ]
    prices = known_prices(settings) | ({} if new.price is None else {new.name: new.price})
    journal = out.parent / f"{new.name.replace('/', '-')}.calls.jsonl"
    live = ask_live({new.name: address}, prices, questions, judge, settings, journal, **limits)
    write_answers(out, live.answers)
    return live


def _added(
    base: Path,
    version: Any,
    new: Newcomer,
    prompts: tuple[str, ...],
    answers: ProbeResults | None,
    to: Path | None,
    settings: Settings,
) -> tuple[AddedCandidate, str, dict[str, Any]]:
    """Return what was added, where it is, and what a registry made of it."""
    from beast_ml.bundle.add_candidate import add_candidate
    from beast_ml.operations.challenger import make_challenger
    from beast_ml.operations.onboarding import onboard
    from beast_ml.registry.config import TrackingConfig

    if version is None:
        n = 0 if answers is None else len(answers.prompts)
        folder = to or Path("beast-out") / f"{new.name.replace('/', '-')}-{n}-probes"
        return add_candidate(base, folder, new, list(prompts), answers), str(folder), {}
    tracking = TrackingConfig(**settings.tracking.model_dump())
    result = onboard(version, new, list(prompts), answers, tracking=tracking)
    made = result.registered
    told: dict[str, Any] = {"version": made.version, "share": result.share}
    if answers is not None:
        kept = make_challenger(made.version, tracking, settings.serving.state)
        told |= {"challenger": kept is None} | ({} if kept is None else {"challenger_kept": kept})
    return result.added, made.uri, told


def _next_steps(told: dict[str, Any], is_registered: bool) -> list[str]:
    if not is_registered:
        return []
    if told.get("challenger_kept"):
        return [f"not made challenger: {told['challenger_kept']}"]
    if told.get("challenger"):
        return [
            "it is the challenger now. Next, with its endpoint in mlflow.yaml and `beast serve` started again:",
            "  beast experiment create onboarding --variant new=challenger:0.1 --guardrail quality=0.02",
            "  beast experiment analyze --experiment onboarding --metric quality --out report/",
            f"  beast promote --version {told['version']}      # through the gates; beast rollback takes it back",
        ]
    return []


def _endpoint(name: str, base_url: str, provider_model: str, api_key_env: str) -> Endpoint:
    from beast_ml.domain.endpoint import Endpoint

    return Endpoint(name, name, base_url, provider_model, api_key_env)


def _write_picked(
    base: Path, new: Newcomer, prompts: tuple[str, ...], ids: tuple[str, ...], n_probes: int, out: Path
) -> int:
    from beast_ml.bundle.add_candidate import pick_probes
    from beast_ml.cli.probe_files import write_probes

    picked = pick_probes(base, new, prompts, n_probes)
    write_probes(out, new.name, [ids[i] for i in picked], [prompts[i] for i in picked])
    return len(picked)


def _price(both: str | None, input_price: float | None, output_price: float | None) -> Price | None:
    from beast_ml.domain import Price

    if both is not None:
        if input_price is not None or output_price is not None:
            raise InputError("`--price` says what --input-price and --output-price say: give one or the others")
        try:
            input_price, output_price = (float(part) for part in both.split(","))
        except ValueError as error:
            raise InputError(f"`--price` == {both!r}, must be IN,OUT in USD per million tokens, as 0.5,1.5") from error
    if input_price is None and output_price is None:
        return None
    if input_price is None or output_price is None:
        raise InputError("one of --input-price and --output-price is given: give both, in USD per million tokens")
    return Price(input_price, output_price)


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
