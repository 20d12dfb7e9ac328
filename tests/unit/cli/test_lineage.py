import json

import pytest

from beast_ml.logs.ingest import ingest
from beast_ml.logs.store import LogStore
from beast_ml.registry.loop_runs import digest_of
from beast_ml.testing.log_rows import cached_request, routed_request, write_json_lines
from beast_ml.testing.registry_fixtures import (  # noqa: F401 - fixtures are used by name
    config,
    make_bundle,
    migrated_store,
    register,
    small_bundle,
)


@pytest.fixture
def logged(tmp_path, config, register):  # noqa: F811
    """Return the digest of a registered router that decided the request `routed`; the cache answered `cached`."""
    digest = digest_of(config, register("monday").version)
    rows = [routed_request(policy_version=digest), cached_request()]
    ingest([write_json_lines(tmp_path / "log.jsonl", rows)], LogStore(tmp_path / "store"), tmp_path / "quarantine")
    (tmp_path / "mlflow.yaml").write_text(f"tracking: {{uri: '{config.uri}'}}\nlogs: {{store: store}}\n")
    return digest


def test_a_request_leads_back_to_the_training(beast, logged):
    code, out, _ = beast("lineage", "routed", "--json")
    assert code == 0
    found = json.loads(out)
    assert found["decision"]["chosen_model"] == "small"
    assert (found["router"]["digest"], found["router"]["run_name"]) == (logged, "training monday")
    shown = beast("lineage", "routed")[1]
    assert "training monday" in shown
    assert "code " in shown
    assert "version of beast-router" in shown


def test_an_answer_of_the_cache_has_no_router(beast, logged):
    found = json.loads(beast("lineage", "cached", "--json")[1])
    assert found["router"] is None
    assert found["decision"]["cache_result"] == "semantic"


def test_an_unknown_request_is_refused_with_what_to_do(beast, logged):
    code, _, err = beast("lineage", "it's gone")
    assert code == 2
    assert "beast logs compact" in err
