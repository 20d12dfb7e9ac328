from pathlib import Path

import numpy as np
import pytest

from beast_ml.bundle.manifest import verify
from beast_ml.bundle.write import write_bundle
from beast_ml.errors import BundleIntegrityError, InputError
from beast_ml.features.history import HistorySpec, HistoryState
from beast_ml.features.history_replay import LoggedHistory
from beast_ml.operations.bundle_registration import read_evidence, register_bundle
from beast_ml.policy.learner import RouterLearner
from beast_ml.registry.connection import connect
from beast_ml.registry.promotion import promote
from beast_ml.registry.resolve import resolve
from beast_ml.testing.registry import make_evidence
from beast_ml.testing.registry_fixtures import (  # noqa: F401 - fixtures are used by name
    config,
    flip,
    make_bundle,
    migrated_store,
    small_bundle,
)
from beast_ml.testing.router_fixtures import TINY


@pytest.fixture
def bundle(make_bundle) -> Path:  # noqa: F811
    return make_bundle("elsewhere")


@pytest.fixture
def evidence(bundle):
    return make_evidence(data_digest=verify(bundle).training_digest, best_single_model="large")


def test_a_bundle_from_elsewhere_is_registered_and_can_be_promoted(bundle, evidence, config, tmp_path) -> None:  # noqa: F811
    result = register_bundle(bundle, evidence, tracking=config, name="elsewhere")
    assert result.registered.version == 1
    assert set(result.registered.parts) >= {"beast-encoder", "beast-quality", "beast-cost"}
    assert promote(config).version == 1
    found = resolve("models:/beast-router@champion", config, tmp_path / "cache")
    assert verify(found).digest == result.manifest.digest == verify(bundle).digest
    run = connect(config).get_run(result.run_id)
    assert run.data.tags["kind of run"] == "registration"
    assert run.data.params["bundle"] == result.manifest.digest
    assert run.data.params["run/training"] == "elsewhere"


def test_a_bundle_with_every_target_and_a_history_is_registered_too(config, world, tmp_path: Path) -> None:  # noqa: F811
    outcomes = world.outcomes
    spec = HistorySpec(outcomes.models, by=())
    rows = np.zeros((outcomes.n_queries, spec.dim), dtype=np.float32)
    router = RouterLearner("hashing", families=TINY).fit(outcomes, history=LoggedHistory(spec, rows, HistoryState()))
    write_bundle(router, tmp_path / "whole")
    evidence = make_evidence(data_digest=outcomes.digest())
    result = register_bundle(tmp_path / "whole", evidence, tracking=config, name="whole")
    assert "beast-latency" in result.registered.parts


def test_evidence_of_another_training_is_refused_before_anything_is_recorded(bundle, config) -> None:  # noqa: F811
    with pytest.raises(InputError, match="give the evidence of its own training"):
        register_bundle(bundle, make_evidence(), tracking=config, name="x")
    assert connect(config).search_registered_models() == []


def test_a_damaged_bundle_is_refused(bundle, evidence, config, flip) -> None:  # noqa: F811
    flip(bundle)
    with pytest.raises(BundleIntegrityError):
        register_bundle(bundle, evidence, tracking=config, name="x")


def test_evidence_is_read_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "evidence.json"
    path.write_text(make_evidence().to_json())
    assert read_evidence(path) == make_evidence()


@pytest.mark.parametrize("content", [None, b"\xff\xfe", b"{}", b"not json"])
def test_a_file_without_evidence_says_so(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "evidence.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match="cannot read the evidence"):
        read_evidence(path)
