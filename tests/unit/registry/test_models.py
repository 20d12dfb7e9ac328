import json

import numpy as np
import pytest

from beast_ml.errors import BundleIntegrityError, InputError, RegistryError, RegistryUnavailableError
from beast_ml.registry import models
from beast_ml.registry.models import EXAMPLE_PROMPTS, register_router
from beast_ml.registry.quiet_mlflow import mlflow
from beast_ml.registry.tracking import training_run
from beast_ml.testing.registry import make_evidence

pytestmark = pytest.mark.slow  # every test registers real bundles in a store of its own


CARDS = {part: f"# The {part}\n\nWhat it is good for." for part in ("router", "encoder", "quality", "cost")}


@pytest.fixture
def load(config):
    """Load a registered model as anyone would."""
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(config.uri)
    yield mlflow.pyfunc.load_model
    mlflow.set_tracking_uri(before)


def tags(run, name, version):
    return run.client.get_model_version(name, str(version)).tags


def versions(run, name):
    return sorted(int(version.version) for version in run.client.search_model_versions(f"name = '{name}'"))


def test_every_model_loads_and_answers(config, make_bundle, small_bundle, load):
    with training_run(config, "training", "") as run:
        registered = register_router(run, make_bundle("a"), make_evidence(), CARDS, small_bundle.features)
    assert registered.uri == "models:/beast-router/1"
    assert registered.parts == {"beast-encoder": 1, "beast-quality": 1, "beast-cost": 1}
    vectors = load("models:/beast-encoder/1").predict(np.array(["one prompt", "another", "a third"]))
    assert (vectors.shape, vectors.dtype) == ((3, 512), np.float32)
    quality = load("models:/beast-quality/1").predict(small_bundle.features)
    assert quality.shape == (2, 2)
    chosen = load(registered.uri).predict(EXAMPLE_PROMPTS)
    assert set(chosen) <= {"large", "small"}


def test_signatures_are_tensors_of_any_length_and_inputs_are_stored(config, make_bundle, small_bundle, load):
    with training_run(config, "training", "") as run:
        register_router(run, make_bundle("a"), make_evidence(), CARDS, small_bundle.features)
    model = load("models:/beast-cost/1")
    (tensor,) = model.metadata.signature.inputs.inputs
    assert (tensor.shape, tensor.type) == ((-1, small_bundle.features.shape[1]), np.dtype("float32"))
    np.testing.assert_array_equal(model.input_example, small_bundle.features)
    (prompts,) = load("models:/beast-router/1").metadata.signature.inputs.inputs
    assert (prompts.shape, prompts.type.kind) == ((-1,), "U")


def test_nothing_is_pickled(config, make_bundle, small_bundle):
    with training_run(config, "training", "") as run:
        register_router(run, make_bundle("a"), make_evidence(), CARDS, small_bundle.features)
    files = [path for path in config.artifacts.rglob("*") if path.is_file()]
    assert len(files) > 20
    assert not [path for path in files if path.suffix in {".pkl", ".pickle", ".joblib", ".pt", ".bin"}]
    assert {path.name for path in files} >= {"MLmodel", "model_card.md", "manifest.json", "evidence.json", "router.md"}
    # a pickle by any other name starts with its protocol
    assert not [path for path in files if path.read_bytes()[:1] == b"\x80"]


def test_the_routers_tags_pin_its_parts_and_carry_the_evidence(config, make_bundle, small_bundle):
    evidence = make_evidence()
    with training_run(config, "training", "") as run:
        registered = register_router(run, make_bundle("a"), evidence, CARDS, small_bundle.features)
    found = tags(run, "beast-router", registered.version)
    assert {name: found[name] for name in registered.parts} == {n: str(v) for n, v in registered.parts.items()}
    assert json.loads(found["evidence"])["n_test_queries"] == evidence.n_test_queries
    assert found["verdict"].startswith("not judged yet")
    record = run.client.get_model_version("beast-router", "1")
    assert record.description == CARDS["router"]
    assert record.run_id == run.id
    assert run.client.get_run(run.id).data.metrics["evidence/quality_gain_low"] == evidence.quality_gain.low
    assert "beast promote" in run.client.get_registered_model("beast-router").description


def test_an_encoder_is_registered_once_per_table(config, make_bundle, small_bundle):
    with training_run(config, "training", "") as run:
        first = register_router(run, make_bundle("a"), make_evidence(), CARDS, small_bundle.features)
        second = register_router(run, make_bundle("b"), make_evidence(), CARDS, small_bundle.features)
        run.client.set_model_version_tag("beast-encoder", "1", "encoder_hash", "of another table")
        third = register_router(run, make_bundle("c"), make_evidence(), CARDS, small_bundle.features)
    assert [r.parts["beast-encoder"] for r in (first, second, third)] == [1, 1, 2]
    assert [r.parts["beast-quality"] for r in (first, second, third)] == [1, 2, 3]


def test_a_failure_in_the_middle_leaves_no_half_registered_router(config, make_bundle, small_bundle, monkeypatch):
    def refuse(*arguments):
        raise RegistryError("no more versions")

    monkeypatch.setattr(models, "_router_tags", refuse)  # after the parts' versions were made
    with pytest.raises(RegistryError, match="no more versions"), training_run(config, "training", "") as run:
        register_router(run, make_bundle("a"), make_evidence(), CARDS, small_bundle.features)
    for name in ("beast-encoder", "beast-quality", "beast-cost"):
        assert versions(run, name) == []
    assert run.client.get_run(run.id).info.status == "FAILED"


def test_a_model_that_cannot_answer_is_never_registered(config, make_bundle, small_bundle):
    wrong = small_bundle.features[:, :-1]
    with pytest.raises(Exception, match=r"."), training_run(config, "training", "") as run:
        register_router(run, make_bundle("a"), make_evidence(), CARDS, wrong)
    assert versions(run, "beast-router") == versions(run, "beast-quality") == []


def test_a_bundle_with_one_flipped_byte_is_refused_and_kept(config, make_bundle, small_bundle, flip):
    folder = make_bundle("a")
    flipped = flip(folder)
    with pytest.raises(BundleIntegrityError), training_run(config, "training", "") as run:
        register_router(run, folder, make_evidence(), CARDS, small_bundle.features)
    assert flipped.exists()
    assert versions(run, "beast-encoder") == []


@pytest.mark.parametrize(
    ("cards", "message"),
    [
        ({"router": "x", "encoder": "x"}, "no model card for 'quality'"),
        (CARDS | {"encoder": " "}, "no model card for 'encoder'"),
        (CARDS | {"cache": "x"}, "'cache', must be for one of router, encoder, quality, cost, latency"),
    ],
)
def test_every_registered_model_has_a_card(config, make_bundle, small_bundle, cards, message):
    with pytest.raises(InputError, match=message), training_run(config, "training", "") as run:
        register_router(run, make_bundle("a"), make_evidence(), cards, small_bundle.features)


class UploadError(Exception):
    """The disk is full, the network is gone."""


def test_an_upload_that_breaks_marks_its_model_failed(config, make_bundle, small_bundle, monkeypatch):
    def break_off(self, *arguments, **named):
        raise UploadError("half way")

    monkeypatch.setattr(mlflow.MlflowClient, "log_model_artifacts", break_off)
    with pytest.raises(UploadError, match="half way"), training_run(config, "training", "") as run:
        register_router(run, make_bundle("a"), make_evidence(), CARDS, small_bundle.features)
    (model,) = run.client.search_logged_models([run.experiment_id])
    assert model.status.name == "FAILED"
    assert versions(run, "beast-encoder") == []


def test_a_store_lost_in_an_upload_does_not_hide_the_reason(config, make_bundle, small_bundle, monkeypatch):
    def lose(self, *arguments, **named):
        config.database.write_bytes(b"")
        raise UploadError("half way")

    monkeypatch.setattr(mlflow.MlflowClient, "log_model_artifacts", lose)
    with pytest.raises(UploadError) as caught, training_run(config, "training", "") as run:
        register_router(run, make_bundle("a"), make_evidence(), CARDS, small_bundle.features)
    assert "could not be marked FAILED" in caught.value.__notes__[0]


def test_versions_that_cannot_be_removed_are_named(config, make_bundle, small_bundle, monkeypatch):
    def lose(*arguments):
        config.database.write_bytes(b"")
        raise UploadError("half way")

    monkeypatch.setattr(models, "_router_tags", lose)
    with pytest.raises(UploadError) as caught, training_run(config, "training", "") as run:
        register_router(run, make_bundle("a"), make_evidence(), CARDS, small_bundle.features)
    assert "beast-cost version 1 is left over" in caught.value.__notes__[0]


def test_a_store_lost_before_registering_is_unavailable(config, make_bundle, small_bundle, monkeypatch):
    def lose(*arguments):
        config.database.write_bytes(b"")
        return {}

    monkeypatch.setattr(models, "_part_tags", lose)
    with training_run(config, "training", "") as run:
        pass
    with pytest.raises(RegistryUnavailableError):
        register_router(run, make_bundle("a"), make_evidence(), CARDS, small_bundle.features)
