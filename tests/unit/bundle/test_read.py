import io
import json
import zipfile

import numpy as np
import pytest

from beast_ml.bundle.manifest import verify
from beast_ml.bundle.read import read_arrays, read_bundle, restore_encoder, restore_predictor
from beast_ml.domain import CandidateModel
from beast_ml.errors import BundleError, BundleIntegrityError
from beast_ml.features.sentence import SentenceEncoder


class Mischief:
    """Would touch a file if it were ever unpickled."""

    def __reduce__(self):
        return (open, ("unpickled", "w"))


def edit(path, change):
    document = json.loads(path.read_bytes())
    change(document)
    path.write_text(json.dumps(document))


def repack(folder, change):
    arrays = dict(np.load(folder / "heads.npz"))
    change(arrays)
    np.savez(folder / "heads.npz", **arrays)


def test_what_is_read_predicts_as_what_was_written_to_the_bit(fitted, loaded, world):
    rows = fitted.rows(world.outcomes.prompts)
    assert loaded.features.matrix(world.outcomes.prompts).tobytes() == rows.tobytes()
    written, read = fitted.pool.predictors, loaded.predictors
    said = {name: values for name, values in vars(written.predict(rows)).items() if values is not None}
    assert said.keys() >= {"quality", "cost_usd", "latency_s", "failure"}
    for name, values in said.items():
        assert getattr(read.predict(rows), name).tobytes() == values.tobytes()
    for target in ("quality", "cost", "latency", "ttft", "reliability"):
        ends = zip(getattr(written, target).interval(rows), getattr(read, target).interval(rows), strict=True)
        assert all(one.tobytes() == other.tobytes() for one, other in ends)
    assert read.kind.kinds == written.kind.kinds
    assert read.kind.posterior(rows).tobytes() == written.kind.posterior(rows).tobytes()


def test_kinds_of_other_features_are_refused(copy, reseal):
    def cut(arrays):
        arrays["request_kind/weight_0"] = arrays["request_kind/weight_0"][:-1]

    repack(copy, cut)
    reseal(copy)
    with pytest.raises(BundleError, match="do not fit together"):
        read_bundle(copy)


def test_more_kinds_than_outputs_are_refused(copy, reseal):
    edit(copy / "calibration.json", lambda document: document["request_kind"]["kinds"].append("gossip"))
    reseal(copy)
    with pytest.raises(BundleError, match="tells 4 kinds apart, but names 5"):
        read_bundle(copy)


def test_pickled_objects_are_refused_and_never_run(copy, reseal, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    arrays = dict(np.load(copy / "heads.npz")) | {"quality/evil": np.array([Mischief()], dtype=object)}
    with (copy / "heads.npz").open("wb") as stream:
        np.savez(stream, allow_pickle=True, **arrays)
    reseal(copy)
    with pytest.raises(BundleError, match="allow_pickle=False"):
        read_bundle(copy)
    assert not (tmp_path / "unpickled").exists()


@pytest.mark.parametrize("kind", ["bare array", "truncated", "empty", "text", "broken member"])
def test_heads_that_are_no_archive_of_arrays_are_refused(copy, reseal, kind):
    path = copy / "heads.npz"
    content = path.read_bytes()
    if kind == "bare array":
        buffer = io.BytesIO()
        np.save(buffer, np.zeros(3))
        path.write_bytes(buffer.getvalue())
    elif kind == "broken member":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("quality/center.npy", b"\x93NUMPY\x01\x00")
    else:
        path.write_bytes({"truncated": content[: len(content) // 2], "empty": b"", "text": b"hello"}[kind])
    reseal(copy)
    with pytest.raises(BundleError, match="cannot load the bundle"):
        read_bundle(copy)


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("policy.json", lambda policy: policy.update(kind="oracle")),
        ("policy.json", lambda policy: policy.update(surprise=1)),
        ("policy.json", lambda policy: policy["objective"].update(willingness_to_pay=None)),
        ("features.json", lambda spec: spec.pop("encoder")),
        ("calibration.json", lambda numbers: numbers.pop("quality")),
        ("calibration.json", lambda numbers: numbers["quality"].pop("platt")),
        ("calibration.json", lambda numbers: numbers["quality"].update(kind="magic")),
        ("calibration.json", lambda numbers: numbers.update(quality=[])),
        ("calibration.json", lambda numbers: numbers["latency"].update(center="high")),
        ("calibration.json", lambda numbers: numbers.update(happiness={})),
    ],
)
def test_documents_of_another_shape_are_refused_however_well_sealed(copy, reseal, file, change):
    edit(copy / file, change)
    reseal(copy)
    with pytest.raises(BundleError):
        read_bundle(copy)


@pytest.mark.parametrize(
    "change",
    [
        lambda arrays: arrays.pop("quality/weight_0"),
        lambda arrays: arrays.update({"quality/weight_0": arrays["quality/weight_0"][:-1]}),
        lambda arrays: arrays.update({"quality/center": arrays["quality/center"][:-1]}),
        lambda arrays: arrays.update({"latency/weight_2": arrays["latency/weight_2"][:, :1]}),
        lambda arrays: arrays.update({"quality/bias_2": arrays["quality/bias_2"][:-1]}),
    ],
)
def test_arrays_that_do_not_fit_together_are_refused_when_loading(copy, reseal, change):
    repack(copy, change)
    reseal(copy)
    with pytest.raises(BundleError):
        read_bundle(copy)


def test_features_of_another_version_are_refused(copy, reseal):
    edit(copy / "features.json", lambda spec: spec.update(prompt_names=spec["prompt_names"][:-1]))
    reseal(copy)
    with pytest.raises(BundleError, match="other prompt features than this beast-ml has: retrain"):
        read_bundle(copy)


@pytest.mark.parametrize("change", [{"boilerplate": ["0" * 16]}, {"encoder_hash": "0" * 64}])
def test_features_that_are_not_those_it_was_trained_with_are_refused(copy, reseal, change):
    edit(copy / "features.json", lambda spec: spec.update(change))
    reseal(copy)
    with pytest.raises(BundleIntegrityError, match="not those it was trained with"):
        read_bundle(copy)


def test_a_policy_for_a_stranger_is_refused(copy, reseal):
    edit(copy / "policy.json", lambda policy: policy.update(model="gpt"))
    reseal(copy)
    with pytest.raises(BundleError, match="names 'gpt', which is not in its pool"):
        read_bundle(copy)


def test_costs_by_token_need_every_price(copy, reseal):
    first, *others = verify(copy).candidates
    reseal(copy, candidates=(CandidateModel(first.name), *others))
    with pytest.raises(BundleError, match="a candidate has no price"):
        read_bundle(copy)


def test_encoders_are_restored_by_name(static_folder, distilled, tmp_path):
    assert restore_encoder("static", static_folder / "encoder").hash == distilled.hash
    assert restore_encoder("hashing", tmp_path).name == "hashing"
    assert isinstance(restore_encoder("minilm", tmp_path), SentenceEncoder)
    with pytest.raises(BundleError, match="unknown encoder 'bert': this bundle needs a newer beast-ml"):
        restore_encoder("bert", tmp_path)
    with pytest.raises(BundleError, match="no usable static encoder"):
        restore_encoder("static", tmp_path)


def test_unknown_targets_are_refused():
    with pytest.raises(BundleError, match="unknown target 'happiness'"):
        restore_predictor("happiness", [], {}, {})


def test_arrays_are_read_whole(tmp_path):
    np.savez(tmp_path / "a.npz", one=np.arange(3))
    assert {name: array.tolist() for name, array in read_arrays(tmp_path / "a.npz").items()} == {"one": [0, 1, 2]}


class AnotherEncoder:
    """Of the same name, with other weights."""

    name, dim, hash = "hashing", 256, "0" * 64


def test_an_encoder_in_memory_is_shared_only_if_it_is_the_bundles_own(router_folder):
    own = read_bundle(router_folder).features.encoder
    assert read_bundle(router_folder, own).features.encoder is own
    assert read_bundle(router_folder, AnotherEncoder()).features.encoder.hash == own.hash
