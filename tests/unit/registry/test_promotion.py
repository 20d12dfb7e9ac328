import json

import msgspec
import pytest

from beast_ml.bundle.manifest import verify
from beast_ml.errors import BundleIntegrityError, PromotionRefusedError, RegistryError, RegistryUnavailableError
from beast_ml.registry import champions, promotion, stand_in
from beast_ml.registry.config import TrackingConfig
from beast_ml.registry.connection import connect
from beast_ml.registry.evidence import Interval
from beast_ml.registry.gates import Gates
from beast_ml.registry.promotion import promote, rollback
from beast_ml.registry.resolve import resolve
from beast_ml.testing.registry import make_evidence

pytestmark = pytest.mark.slow  # every test registers real bundles in a store of its own

PAYS = make_evidence()
WORSE = make_evidence(quality_gain=Interval(-0.05, -0.08, -0.02))


class CrashError(Exception):
    """The process ends here."""


def aliases(config):
    return {n: int(v) for n, v in connect(config).get_registered_model("beast-router").aliases.items()}


def tags(config, version):
    return connect(config).get_model_version("beast-router", str(version)).tags


def n_versions(config):
    return len(connect(config).search_model_versions("name = 'beast-router'"))


def test_a_proven_router_becomes_champion_and_carries_its_proof(config, register):
    register("a", PAYS)
    outcome = promote(config)
    assert (outcome.version, outcome.previous, outcome.kind, outcome.changed) == (1, None, "router", True)
    assert "routing pays here" in outcome.sentence
    assert aliases(config) == {"champion": 1}
    found = tags(config, 1)
    assert found["verdict"] == "passed"
    assert found["gate: pays"].startswith("passed: quality gain at least -0.0020")
    run = connect(config).get_run(connect(config).get_model_version("beast-router", "1").run_id)
    assert run.data.tags["verdict"] == "passed"


def test_promoting_again_changes_nothing(config, register):
    register("a", PAYS)
    promote(config)
    again = promote(config)
    assert (again.version, again.changed) == (1, False)
    assert "already" in again.sentence
    assert champions.read_champions(connect(config), config).line == (1,)


def test_the_newest_is_taken_unless_a_version_is_named(config, register):
    register("a", PAYS)
    register("b", PAYS)
    assert promote(config).version == 2
    back = promote(config, 1)
    assert (back.version, back.previous) == (1, 2)


def test_an_unproven_router_never_replaces_a_proven_one(config, register):
    register("a", PAYS)
    promote(config)
    register("b", WORSE)
    with pytest.raises(
        PromotionRefusedError, match=r"version 2 is not promoted, version 1 stays champion: pays"
    ) as caught:
        promote(config)
    assert aliases(config) == {"champion": 1}
    assert n_versions(config) == 2
    assert tags(config, 2)["verdict"].startswith("refused: pays")
    assert tags(config, 2)["gate: pays"].startswith("FAILED")
    details = caught.value.details
    assert details["champion"] == 1
    assert [check["name"] for check in details["gates"] if not check["passed"]] == ["pays"]
    assert details["evidence"]["quality_gain"]["mean"] == -0.05


def test_where_routing_does_not_pay_the_best_single_model_serves(config, register, tmp_path):
    router = register("a", WORSE)
    outcome = promote(config)
    assert (outcome.version, outcome.kind, outcome.changed) == (2, "single", True)
    assert "routing does not pay here" in outcome.sentence
    assert "always answers with large" in outcome.sentence
    single = verify(resolve("models:/beast-router@champion", config, tmp_path))
    assert single.kind == "single"
    found = tags(config, 2)
    assert {name: found[name] for name in router.parts} == {n: str(v) for n, v in router.parts.items()}
    assert found["stands_in_for"] == "1"
    assert "every request goes to **large**" in connect(config).get_model_version("beast-router", "2").description


def test_a_log_that_proves_nothing_deposes_nobody(config, register):
    register("a", make_evidence(source="log", reference="logging_policy", quality_gain=WORSE.quality_gain))
    with pytest.raises(PromotionRefusedError, match="keep the policy that wrote the log"):
        promote(config)
    assert aliases(config) == {}
    register("b", WORSE)
    stand_in_version = promote(config).version
    register("c", make_evidence(source="log", reference="logging_policy", quality_gain=WORSE.quality_gain))
    with pytest.raises(PromotionRefusedError, match="stays champion"):
        promote(config)
    assert aliases(config)["champion"] == stand_in_version


def test_a_log_of_another_policy_says_nothing_about_the_champion(config, register):
    register("a", PAYS)
    promote(config)
    digest = tags(config, 1)["bundle_digest"]
    log = {"source": "log", "reference": "logging_policy"}
    register("b", make_evidence(**log, logging_policy="some other policy"))
    with pytest.raises(PromotionRefusedError, match="was not written by the champion"):
        promote(config)
    register("c", make_evidence(**log, logging_policy=digest))
    assert promote(config).version == 3


def test_too_little_data_is_not_called_not_paying(config, register):
    register("a", msgspec.structs.replace(PAYS, n_test_queries=20))
    assert "routing is not proven here (enough data" in promote(config).sentence


def test_falling_back_twice_registers_one_stand_in(config, register):
    register("a", WORSE)
    promote(config)
    again = promote(config)
    assert (again.version, again.changed) == (2, False)
    assert n_versions(config) == 2


def test_a_proven_router_replaces_the_stand_in_and_rollback_brings_it_back(config, register):
    register("a", WORSE)
    promote(config)
    register("b", PAYS)
    assert promote(config).version == 3
    assert aliases(config) == {"champion": 3, "previous": 2}
    back = rollback(config)
    assert (back.version, back.kind, back.previous) == (2, "single", None)
    assert back.evidence is None


def test_a_stand_in_is_renewed_by_the_next_unproven_training(config, register):
    register("a", WORSE)
    promote(config)
    register("b", WORSE)
    outcome = promote(config)
    assert (outcome.version, outcome.previous) == (4, 2)
    assert tags(config, 4)["stands_in_for"] == "3"


def test_a_bundle_that_always_answers_alike_is_its_own_stand_in(config, register):
    register("a", WORSE, single="large")
    outcome = promote(config)
    assert (outcome.version, outcome.kind) == (1, "single")
    assert n_versions(config) == 1


def test_rollback_walks_back_through_the_history(config, register):
    for name in ("a", "b", "c"):
        register(name, PAYS)
        promote(config)
    assert [rollback(config).version, rollback(config).version] == [2, 1]
    with pytest.raises(RegistryError, match="no earlier champion"):
        rollback(config)
    assert aliases(config) == {"champion": 1}


def test_gates_can_be_moved(config, register):
    register("a", msgspec.structs.replace(PAYS, n_test_queries=20))
    assert promote(config, gates=Gates(min_test_queries=10)).kind == "router"


def test_stricter_gates_do_not_depose_the_champion(config, register):
    register("a", PAYS)
    promote(config)
    again = promote(config, gates=Gates(min_test_queries=1_000_000))
    assert (again.version, again.changed) == (1, False)
    assert tags(config, 1)["verdict"] == "passed"


@pytest.mark.parametrize("function", ["_write", "_point_at_previous"])
def test_a_crash_in_the_middle_leaves_a_whole_champion_and_can_be_repeated(config, register, monkeypatch, function):
    register("a", PAYS)
    promote(config)
    register("b", PAYS)

    def crash(*arguments):
        raise CrashError

    with monkeypatch.context() as patched:
        patched.setattr(champions, function, crash)
        with pytest.raises(CrashError):
            promote(config)
    assert aliases(config)["champion"] in (1, 2)
    outcome = promote(config)
    assert (outcome.version, outcome.previous) == (2, 1)
    assert aliases(config) == {"champion": 2, "previous": 1}


def test_a_crash_after_the_stand_in_was_registered_uses_it_next_time(config, register, monkeypatch):
    register("a", WORSE)

    def crash(*arguments):
        raise CrashError

    with monkeypatch.context() as patched:
        patched.setattr(promotion, "crown", crash)
        with pytest.raises(CrashError):
            promote(config)
    assert aliases(config) == {}
    assert promote(config).version == 2
    assert n_versions(config) == 2


def test_a_version_whose_files_were_damaged_is_never_crowned(config, register, flip):
    register("a", PAYS)
    promote(config)
    register("b", PAYS)
    newest = max(config.artifacts.rglob("bundle/manifest.json"), key=lambda path: path.stat().st_mtime_ns).parent
    flip(newest)
    with pytest.raises(BundleIntegrityError):
        promote(config)
    assert aliases(config) == {"champion": 1}


def test_rollback_to_damaged_files_keeps_the_champion(config, register, flip):
    register("a", PAYS)
    promote(config)
    (manifest,) = config.artifacts.rglob("bundle/manifest.json")
    register("b", PAYS)
    promote(config)
    flip(manifest.parent)
    with pytest.raises(BundleIntegrityError):
        rollback(config)
    assert aliases(config)["champion"] == 2


@pytest.mark.parametrize("text", [None, '{"source": "hearsay"}'])
def test_without_readable_evidence_nothing_is_judged(config, register, text):
    register("a", PAYS)
    client = connect(config)
    if text is None:
        client.delete_model_version_tag("beast-router", "1", "evidence")
    else:
        client.set_model_version_tag("beast-router", "1", "evidence", text)
    with pytest.raises(RegistryError, match="evidence"):
        promote(config)
    assert aliases(config) == {}


def test_a_version_that_is_not_there_is_named(config, register):
    register("a", PAYS)
    with pytest.raises(RegistryError, match="no version 7"):
        promote(config, 7)


def test_without_any_version_the_advice_is_to_train(config):
    with pytest.raises(RegistryError, match="train one first"):
        promote(config)
    connect(config).create_registered_model("beast-router")
    with pytest.raises(RegistryError, match="train one first"):
        promote(config)


def test_a_registry_that_is_away_is_said_at_once():
    for function in (promote, rollback):
        with pytest.raises(RegistryUnavailableError, match="does not answer"):
            function(TrackingConfig("http://127.0.0.1:1"))


def test_what_came_of_it_is_json(config, register):
    register("a", WORSE)
    document = json.loads(json.dumps(promote(config).to_dict()))
    assert document["champion"] == 2
    assert {gate["name"] for gate in document["gates"]} == {"pays", "calibrated", "covered", "enough data"}
    assert document["evidence"]["best_single_model"] == "large"


def test_a_lost_store_in_the_middle_is_not_an_absent_version(config, register):
    register("a", PAYS)
    client = connect(config)
    config.database.write_bytes(b"")
    with pytest.raises(RegistryUnavailableError):
        stand_in.get_version(client, config, 1)
