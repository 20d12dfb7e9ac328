import pytest

from beast_ml.registry.champions import crown, read_champions, step_back
from beast_ml.registry.config import ROUTER
from beast_ml.registry.connection import connect
from beast_ml.registry.proposals import KEPT_DEFAULTS, KEPT_TUNED, SWITCH_PREFIX, proposals
from beast_ml.registry.stand_in import STANDS_IN_FOR
from beast_ml.registry.tracking import training_run


@pytest.fixture
def propose(config):
    """Return a function that registers a version of the router, without a bundle, by a run with these tags."""
    client = connect(config)
    client.create_registered_model(ROUTER)

    def make(kind, data="", **tags):
        with training_run(config, kind, "", {"kind of run": kind, "data": data}) as run:
            source = f"{config.artifacts.as_uri()}/{run.id}"
            version = client.create_model_version(ROUTER, source, run.id, tags=tags, await_creation_for=0)
        return int(version.version)

    return make


def told(config):
    return {(each.origin, each.version): each.outcome for each in proposals(config)}


def test_nothing_was_proposed_where_nothing_is_on_record(config):
    assert proposals(config) == []


def test_routers_have_what_evidence_made_of_them_and_what_people_bring_is_no_proposal(config, propose):
    trained, learnt = propose("training"), propose("training from a log")
    switch = propose("registration", f"{SWITCH_PREFIX}1a2b")
    propose("registration", "a router from elsewhere")
    propose("training", **{STANDS_IN_FOR: "5"})
    waiting, refused = propose("training"), propose("training", verdict="refused: pays")
    client = connect(config)
    for version in (trained, learnt, switch):
        crown(client, config, read_champions(client, config), version)
    step_back(client, config, read_champions(client, config))
    assert told(config) == {
        ("learning", trained): "adopted",
        ("learning", learnt): "adopted",
        ("recommendation", switch): "taken back",
        ("learning", waiting): "open",
        ("learning", refused): "refused",
    }


@pytest.mark.parametrize(("verdict", "outcome"), [(KEPT_TUNED, "adopted"), (KEPT_DEFAULTS, "refused"), ("", "open")])
def test_settings_are_adopted_where_their_gain_was_beyond_noise(config, verdict, outcome):
    tags = {"kind of run": "tuning"} | ({"verdict": verdict} if verdict else {})
    with training_run(config, "tune router", "", tags) as run, run.child("trial 1", "", {"kind of run": "trial"}):
        pass
    assert told(config) == {("tuning", None): outcome}
