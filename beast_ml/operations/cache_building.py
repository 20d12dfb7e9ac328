"""Train a cache on what was asked, and register it with its curves: one MLflow run."""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec

from beast_ml.cache.artefact import CacheManifest
from beast_ml.cache.artefact_files import CURVES_FILE
from beast_ml.cache.training import CacheTraining, Progress, train_cache
from beast_ml.cache.verifier.curve_plot import Line, draw_lines
from beast_ml.cache.verifier.labelled import LabelledPairs
from beast_ml.cache.verifier.operating_points import EPSILONS, VerifierCurves
from beast_ml.cache.verifier.pair_files import read_labelled_pairs
from beast_ml.errors import InputError
from beast_ml.features.distill import static_encoder
from beast_ml.operations.cache_sources import read_asked_prompts
from beast_ml.registry.caches import RegisteredCache, register_cache
from beast_ml.registry.config import TrackingConfig
from beast_ml.registry.tracking import TrainingRun, training_run

__all__ = ["CacheBuild", "CacheData", "build_cache"]


@dataclass(frozen=True)
class CacheData:
    """What a cache is built from; one of both at least.

    Parameters
    ----------
    prompts
        Log store or Parquet file; see `beast_ml.operations.cache_sources.read_asked_prompts`.
    pairs
        Parquet file of labelled pairs; without it the static gate stays open, and there is no verifier.
    """

    prompts: Path | None = None
    pairs: Path | None = None

    @property
    def name(self) -> str:
        """What the data are called."""
        return " and ".join(path.stem for path in (self.prompts, self.pairs) if path is not None)


@dataclass(frozen=True)
class CacheBuild:
    """What a build came to.

    Parameters
    ----------
    manifest
        Of the trained cache.
    registered
        Its version in the registry.
    run_id
        The MLflow run it is recorded in.
    """

    manifest: CacheManifest
    registered: RegisteredCache
    run_id: str


def build_cache(
    data: CacheData,
    folder: Path,
    *,
    tracking: TrackingConfig,
    training: CacheTraining | None = None,
    progress: Progress = lambda _what, _done, _total: None,
) -> CacheBuild:
    """Train a cache, write it into a new folder, and register it as ``beast-cache``.

    Parameters
    ----------
    data
        What it is trained on.
    folder
        Must not exist, or be empty.
    tracking
        The MLflow store to register it in.
    training
        How it is trained.
    progress
        Called with (what, done, total).

    Raises
    ------
    InputError
        If there are no data, or they cannot be used.
    RegistryUnavailableError
        If MLflow does not answer; the folder is written all the same.
    """
    if data.prompts is None and data.pairs is None:
        raise InputError("nothing to build a cache from: give a log or a table of prompts, labelled pairs, or both")
    training = training or CacheTraining()
    prompts = [] if data.prompts is None else read_asked_prompts(data.prompts)
    pairs = None if data.pairs is None else read_labelled_pairs(data.pairs)
    encoder = static_encoder(progress=lambda done, total: progress("distilling the static table", done, total))
    manifest = train_cache(prompts, pairs, encoder, folder, training=training, progress=progress)
    card = _card(manifest, data, len(prompts), pairs)
    with training_run(tracking, f"cache {data.name}", card, {"data": data.name, "kind of run": "cache"}) as run:
        run.params({**asdict(training), "prompts": len(prompts), "pairs": 0 if pairs is None else len(pairs)})
        for context, path in (("prompts", data.prompts), ("pairs", data.pairs)):
            if path is not None:
                run.dataset(
                    f"{path.stem} ({context})", digest=manifest.training_digest, source=str(path), context=context
                )
        if manifest.verifier_hash is not None:
            _log_curves(run, folder)
        registered = register_cache(run, folder, card)
    return CacheBuild(manifest, registered, run.id)


def _log_curves(run: TrainingRun, folder: Path) -> None:
    """Draw what the verifier and a fixed cosine give, from the curves of a trained cache, into its run."""
    curves = msgspec.convert(msgspec.json.decode((folder / CURVES_FILE).read_bytes())["verifier"], VerifierCurves)
    rates = curves.false_hit_rates
    lines = {
        name: Line(rates, hits, [(point.false_hit_rate, point.hit_rate) for point in curves.points[name]])
        for name, hits in curves.hit_rates.items()
    }
    with tempfile.TemporaryDirectory(prefix="beast-curves-") as scratch:
        path = Path(scratch) / "verifier.png"
        title = f"{curves.n_pairs} labelled pairs, cross-fitted; dots: thresholds by risk control, confidence "
        draw_lines(path, lines, EPSILONS, rates[-1], f"{title}{1 - curves.delta:.0%}")
        run.artifact(path, "plots")


def _card(manifest: CacheManifest, data: CacheData, n_prompts: int, pairs: LabelledPairs | None) -> str:
    """Return a model card, Markdown."""
    gate = "The static gate stays open: there were no labelled pairs to choose its bound on."
    if manifest.gate is not None:
        gate = (
            f"The static gate closes below {manifest.gate.similarity:.3f}: of {manifest.gate.n_hits} true hits it "
            f"loses {manifest.gate.n_lost}, and with confidence {manifest.gate.confidence:.0%} no more than "
            f"{manifest.gate.max_lost:.1%} of all."
        )
    verifier = "No verifier, so no semantic hit is served: it takes 20 labelled pairs of either kind at least."
    if manifest.verifier_hash is not None:
        verifier = (
            f"The verifier (hash `{manifest.verifier_hash[:16]}`) approves hits; its figures below are at thresholds "
            "that keep wrong hits over lookups within an epsilon, counted on its labelled pairs by models that saw "
            "neither text of a pair."
        )
    figures = "\n".join(f"| {name} | {value:.4g} |" for name, value in sorted(manifest.headline.items()))
    return (
        f"What the semantic cache needs. Trained on {n_prompts} prompts and "
        f"{0 if pairs is None else len(pairs)} labelled pairs of `{data.name}` (sha256 "
        f"`{manifest.training_digest[:16]}`) by beast-ml {manifest.beast_version}.\n\n"
        f"MiniLM (all-MiniLM-L6-v2, Apache-2.0) as ONNX, hash `{manifest.encoder_hash[:16]}`; of texts of more than "
        f"256 tokens it reads the first and the last 127. {gate}\n\n{verifier}\n\n| | |\n|---|---|\n{figures}\n\n"
        "The figures hold for requests like the training pairs; cosine similarity alone approves no hit. Of the "
        "texts, the verifier keeps single words that two texts of pairs or more have, and how rare they are."
    )
