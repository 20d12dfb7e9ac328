import pytest

from beast_ml.errors import RegistryError
from beast_ml.registry.lineage import lineage_of
from beast_ml.registry.loop_runs import digest_of
from beast_ml.registry.models import register_router
from beast_ml.registry.promotion import promote
from beast_ml.registry.tracking import training_run
from beast_ml.testing.registry import make_evidence
from beast_ml.version import __version__


def test_a_router_leads_back_to_its_version_run_and_code(config, register):
    first, second = register("monday"), register("tuesday")
    promote(config, second.version)
    made = lineage_of(digest_of(config, second.version), config)
    assert (made.version, made.run_name, made.aliases) == (second.version, "training tuesday", ("champion",))
    assert made.parts == second.parts
    assert made.package_version == __version__
    assert made.to_dict()["trained_at"].endswith("+00:00")
    assert lineage_of(digest_of(config, first.version), config).aliases == ()


def test_the_data_of_the_training_are_told_with_their_whole_digest(config, small_bundle, make_bundle):
    cards = {part: f"# The {part}" for part in ("router", "encoder", "quality", "cost")}
    with training_run(config, "training with data", "") as run:
        run.dataset("outcomes", digest="d" * 64, source="file.parquet", context="training")
        made = register_router(run, make_bundle("monday"), make_evidence(), cards, small_bundle.features)
    found = lineage_of(digest_of(config, made.version), config)
    assert found.data == (("training", "outcomes", "d" * 64),)
    assert found.data_digest == make_evidence().data_digest


def test_what_the_registry_does_not_hold_is_said(config, register):
    register("monday")
    with pytest.raises(RegistryError, match="was served from a folder, or registered elsewhere"):
        lineage_of("f" * 64, config)
