import pytest

from beast_ml.bundle.add_candidate import Newcomer
from beast_ml.bundle.manifest import verify
from beast_ml.domain import Price
from beast_ml.errors import PromotionRefusedError, RegistryError
from beast_ml.operations.bundle_registration import register_bundle
from beast_ml.operations.onboarding import onboard
from beast_ml.registry.connection import connect
from beast_ml.registry.promotion import promote
from beast_ml.registry.recorded_evidence import recorded_evidence
from beast_ml.registry.resolve import resolve_version
from beast_ml.testing.registry import make_evidence
from beast_ml.testing.registry_fixtures import config, migrated_store  # noqa: F401 - fixtures are used by name

PROMPTS = ["hello weather story", "python loop compile", "integral prime matrix"]


@pytest.fixture
def evidence(router_folder):
    return make_evidence(data_digest=verify(router_folder).training_digest, best_single_model="large")


def test_a_version_with_the_new_model_is_registered_beside_the_champion(router_folder, evidence, config, tmp_path):  # noqa: F811
    register_bundle(router_folder, evidence, tracking=config, name="old")
    promote(config)
    source = resolve_version("models:/beast-router@champion", config, tmp_path / "cache")
    result = onboard(source, Newcomer("newest", Price(0.01, 0.02), 0.95), PROMPTS, None, tracking=config)
    assert result.registered.version == 2
    assert set(result.registered.parts) >= {"beast-encoder", "beast-quality", "beast-cost"}
    found = resolve_version(result.registered.uri, config, tmp_path / "cache")
    assert verify(found.path).models == ("large", "medium", "newest", "small")
    # Nobody has judged an answer of it, so where it would answer, all may be lost.
    assert result.share > 0.5
    assert recorded_evidence(2, config).quality_gain.low < evidence.quality_gain.low - 0.3
    with pytest.raises(PromotionRefusedError, match="pays"):
        promote(config)
    # Nothing serves it before it went through the gates.
    assert resolve_version("models:/beast-router@champion", config, tmp_path / "cache").version == 1
    card = connect(config).get_model_version("beast-router", "2").description
    assert "version 1 with newest (no test answers of it)" in card


def test_evidence_of_a_version_that_is_not_there_is_an_error(config):  # noqa: F811
    with pytest.raises(RegistryError):
        recorded_evidence(7, config)
