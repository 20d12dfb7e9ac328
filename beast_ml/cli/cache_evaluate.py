"""`beast cache evaluate`: hits against false hits, on labelled pairs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from beast_ml.cli.output import Bars, JsonOption, print_json, print_table, progress_bar, say, stdout

if TYPE_CHECKING:
    from beast_ml.cache.verifier.labelled import LabelledPairs

__all__ = ["evaluate"]


def evaluate(
    train_pairs: Annotated[
        Path, typer.Option(help="Parquet with text_a, text_b, is_duplicate; everything is learnt from it.")
    ],
    test_pairs: Annotated[
        Path, typer.Option(help="Parquet to decide on: text_a, text_b; is_duplicate, where there, only to count.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for decisions.parquet, report.json and curve.png.")],
    epsilon: Annotated[float, typer.Option(help="Most wrong hits over lookups.")] = 0.01,
    delta: Annotated[float, typer.Option(help="Probability with which epsilon may be exceeded.")] = 0.02,
    most_pairs: Annotated[
        int, typer.Option(min=0, help="Learn from at most so many training pairs, drawn; 0: from all.")
    ] = 20_000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything that is drawn.")] = 0,
    peers: Annotated[bool, typer.Option("--peers", help="Beside GPTCache (if installed) and vCache's rule.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Learn when a cached answer may be served again, decide on other pairs, and count hits and false hits.

    The threshold keeps wrong hits / lookups within --epsilon with confidence 1 - --delta; it is chosen on the training
    pairs alone. Compared with a fixed cosine. Embedding takes about 4 ms a text; vectors are kept in --out.
    """
    import numpy as np

    from beast_ml.cache.embedding.onnx_encoder import OnnxEncoder
    from beast_ml.cache.verifier.curve_plot import draw_curves
    from beast_ml.cache.verifier.evaluate import PairPeer, decide_pairs, report_of
    from beast_ml.cache.verifier.labelled import LabelledPairs
    from beast_ml.cache.verifier.pair_files import read_labelled_pairs, read_labels, read_texts
    from beast_ml.cache.verifier.risk import RiskTarget
    from beast_ml.cache.verifier.text_vectors import StoredVectors
    from beast_ml.cache.verifier.training import TrainingConfig

    target = RiskTarget(epsilon, delta)
    train, (text_a, text_b) = read_labelled_pairs(train_pairs), read_texts(test_pairs)
    out.mkdir(parents=True, exist_ok=True)
    if most_pairs and len(train) > most_pairs:
        say(f"learning from {most_pairs:,} of {len(train):,} training pairs (--most-pairs)")
        train = train.sample(most_pairs, np.random.default_rng(seed))
    others: dict[str, PairPeer] = {}
    if peers:
        from beast_ml.benchmarks.cache.pair_peers import installed_pair_peers

        others = installed_pair_peers(target, say)
    from beast_ml.features.distill import static_encoder

    with progress_bar() as progress:
        bars = Bars(progress)
        encoder = StoredVectors(
            OnnxEncoder.minilm(),
            out / "vectors.npz",
            lambda done, total: bars.advance("embedding", done, total),
        )
        static = static_encoder(progress=lambda done, total: bars.advance("distilling the static table", done, total))
        encoder.encode([*train.texts, *dict.fromkeys([*text_a, *text_b])])
        encoder.save()
        decisions = decide_pairs(
            train,
            text_a,
            text_b,
            encoder,
            static,
            target,
            config=TrainingConfig(seed=seed),
            peers=others,
            progress=bars.advance,
        )
        encoder.save()
    _write_decisions(out / "decisions.parquet", decisions.ours.hit, decisions.ours.scores)
    labels = read_labels(test_pairs)  # only now: no decision can depend on them
    tested = None if labels is None else LabelledPairs(text_a, text_b, labels)
    report = report_of(decisions, train, tested, np.random.default_rng(seed))
    _write_json(out / "report.json", report)
    if tested is not None:
        draw_curves(out / "curve.png", decisions.methods, tested.same, epsilon)
    if as_json:
        print_json(report)
        return
    _print_report(report, tested)
    stdout.print(
        f"wrote {out}/decisions.parquet, report.json{', curve.png' if tested is not None else ''}",
        highlight=False,
        markup=False,
    )


def _write_decisions(path: Path, hit: Any, scores: Any) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = pa.array(range(len(hit)), pa.int64())
    pq.write_table(pa.table({"row": rows, "hit": pa.array(hit), "score": pa.array(scores, pa.float64())}), path)


def _write_json(path: Path, report: dict[str, Any]) -> None:
    import msgspec

    path.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")


def _print_report(report: dict[str, Any], tested: LabelledPairs | None) -> None:
    threshold = report["threshold"]
    if threshold["value"] is None:
        say(
            f"warning: {report['train']['pairs']} training pairs do not show that any threshold keeps wrong hits "
            f"within {report['epsilon']:.2%} of lookups, so nothing hits: give more pairs, or a larger --epsilon"
        )
    if tested is None:
        print_table(
            "decided, not counted: the test pairs have no is_duplicate",
            ("method", "hits"),
            [(name, each["hits"]) for name, each in report["decided"].items()],
        )
        return
    rows, at = [], f"{report['epsilon']:g}"
    for name, each in report["methods"].items():
        rows.append(
            (
                name,
                each["n_hits"],
                _share(each["hit_rate"]),
                each["n_wrong"],
                _share(each["false_hit_rate"], 2),
                _share(each["wrong_among_hits"]),
                f"{each['hit_rate_at'][at]:.1%}" if at in each["hit_rate_at"] else "-",
            )
        )
    print_table(
        f"{report['test']['pairs']} lookups, epsilon {report['epsilon']:.2%}, confidence {1 - report['delta']:.0%}",
        ("method", "hits", "hit rate", "wrong", "false-hit rate", "wrong among hits", "hits at epsilon"),
        rows,
        caption="With 95% intervals. Last column: the hit rate, were the threshold chosen with the test labels.",
    )


def _share(figure: dict[str, float | None], digits: int = 1) -> str:
    if figure["value"] is None:
        return "-"
    value = f"{figure['value']:.{digits}%}"
    return value if figure["low"] is None else f"{value} [{figure['low']:.{digits}%}, {figure['high']:.{digits}%}]"
