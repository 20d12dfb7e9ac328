import msgspec
import pytest

from beast_ml.errors import InputError
from beast_ml.policy.learner import RouterLearner
from beast_ml.policy.learner_settings import LearnerSettings, read_learner_settings
from beast_ml.predictors.pool import POOL_FAMILIES


def test_the_defaults_are_those_of_the_learner():
    assert LearnerSettings().applied_to(RouterLearner()) == RouterLearner()


def test_settings_reach_what_learns():
    settings = LearnerSettings(
        encoder="hashing",
        context=("task",),
        families=("ridge", "network"),
        hidden=(64,),
        dropout=0.2,
        n_networks=3,
        prior_queries=80.0,
        calibration="platt",
        quality_target=0.95,
    )
    learner = settings.applied_to(RouterLearner())
    assert (learner.encoder, learner.context, learner.quality_target) == ("hashing", ("task",), 0.95)
    quality = learner.families.quality
    assert (quality.members, quality.n_networks, quality.prior_queries) == (("ridge", "network"), 3, 80.0)
    assert (quality.calibration, quality.network.hidden, quality.network.dropout) == ("platt", (64,), 0.2)
    assert learner.families.amounts == POOL_FAMILIES.amounts


def test_a_file_holds_them(tmp_path):
    settings = LearnerSettings(encoder="tuned", hidden=(), calibration="isotonic")
    (tmp_path / "router.yaml").write_text(settings.to_yaml())
    assert read_learner_settings(tmp_path / "router.yaml") == settings
    (tmp_path / "some.yaml").write_text("dropout: 0.3")
    assert read_learner_settings(tmp_path / "some.yaml") == msgspec.structs.replace(LearnerSettings(), dropout=0.3)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("droput: 0.3", "droput"),
        ("dropout: 1.5", "dropout"),
        ("task_weight: 0", "task_weight"),
        ("families: [wizard]", "wizard"),
        ("quality_target: 0", "quality_target"),
        ("[1, 2", "settings of a router"),
        ("- 1", "object"),
    ],
)
def test_what_is_no_setting_is_named(tmp_path, text, told):
    (tmp_path / "router.yaml").write_text(text)
    with pytest.raises(InputError, match=told):
        read_learner_settings(tmp_path / "router.yaml")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.yaml"):
        read_learner_settings(tmp_path / "none.yaml")
