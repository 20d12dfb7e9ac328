"""Training, promoting, serving and rolling back against a real MLflow server, and without it."""

from contextlib import ExitStack

import numpy as np
import pytest

from beast_ml.bundle.manifest import verify
from beast_ml.errors import RegistryUnavailableError
from beast_ml.registry.config import TrackingConfig
from beast_ml.registry.evidence import Interval
from beast_ml.registry.models import EXAMPLE_PROMPTS, register_router
from beast_ml.registry.promotion import promote, rollback
from beast_ml.registry.quiet_mlflow import mlflow
from beast_ml.registry.resolve_child import resolve_in_child
from beast_ml.registry.tracking import training_run
from beast_ml.registry.ui import training_page, ui_server
from beast_ml.serving.router import Router
from beast_ml.testing.registry import make_evidence

pytestmark = pytest.mark.slow

CARDS = {part: f"# The {part}" for part in ("router", "encoder", "quality", "cost")}
WORSE = make_evidence(quality_gain=Interval(-0.05, -0.08, -0.02))


def train(config, bundle, features, evidence):
    with training_run(config, "training", "over HTTP") as run:
        run.params({"seed": 0})
        run.dataset("val", digest="ab" * 32, source="val.jsonl", context="training")
        with run.child("quality", "predicts quality") as child:
            child.metrics({"ece": 0.02}, step=1)
        return register_router(run, bundle, evidence, CARDS, features)


def test_the_loop_over_http(server, make_bundle, small_bundle, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    unproven = make_bundle("unproven")
    train(server, unproven, small_bundle.features, WORSE)
    fallback = promote(server)
    assert (fallback.version, fallback.kind) == (2, "single")
    folder = resolve_in_child("models:/beast-router@champion", server, tmp_path / "cache")
    assert {decision.model for decision in Router.load(folder).route_batch(["a", "b"])} == {"large"}

    proven = make_bundle("proven")
    registered = train(server, proven, small_bundle.features, make_evidence())
    assert registered.parts["beast-encoder"] == 1  # the table is the same, so is its version
    assert promote(server).version == 3
    folder = resolve_in_child("models:/beast-router@champion", server, tmp_path / "cache")
    assert verify(folder) == verify(proven)

    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(server.uri)
    try:
        chosen = mlflow.pyfunc.load_model("models:/beast-router@champion").predict(EXAMPLE_PROMPTS)
        quality = mlflow.pyfunc.load_model("models:/beast-quality/2").predict(small_bundle.features)
    finally:
        mlflow.set_tracking_uri(before)
    assert list(chosen) == [decision.model for decision in Router.load(proven).route_batch(list(EXAMPLE_PROMPTS))]
    assert np.isfinite(quality).all()

    assert rollback(server).version == 2
    assert "/runs?" in training_page(server.uri, server.experiment)
    assert not (tmp_path / "mlflow.db").exists()  # nothing went to MLflow's default store


def test_a_server_that_dies_in_mid_training_loses_no_local_file(store, free_port, make_bundle, small_bundle):
    bundle = make_bundle("a")
    manifest = verify(bundle)
    store.database.parent.mkdir(parents=True)

    def train_while_the_server_dies():
        with ExitStack() as server:
            config = TrackingConfig(server.enter_context(ui_server(store, free_port)).url)
            with training_run(config, "training", "") as run:
                server.close()
                register_router(run, bundle, make_evidence(), CARDS, small_bundle.features)

    with pytest.raises(RegistryUnavailableError, match=r"does not answer .*start it") as caught:
        train_while_the_server_dies()
    assert any("could not be marked FAILED" in note for note in caught.value.__notes__)
    assert verify(bundle) == manifest


def test_without_a_server_nothing_starts_and_nothing_is_lost(free_port, make_bundle, small_bundle, tmp_path):
    bundle = make_bundle("a")
    config = TrackingConfig(f"http://127.0.0.1:{free_port}")
    with pytest.raises(RegistryUnavailableError, match="does not answer"):
        train(config, bundle, small_bundle.features, make_evidence())
    for attempt in (
        lambda: promote(config),
        lambda: rollback(config),
        lambda: resolve_in_child("models:/beast-router@champion", config, tmp_path / "cache"),
    ):
        with pytest.raises(RegistryUnavailableError, match="does not answer"):
            attempt()
    assert verify(bundle).kind == "router"
