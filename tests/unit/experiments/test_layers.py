from collections import Counter
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from beast_ml.errors import InputError
from beast_ml.experiments.assignment import Assigner, Assigners
from beast_ml.experiments.definitions import Experiment, Guardrail, Variant
from beast_ml.experiments.experiments_file import Experiments

AT = datetime(2026, 3, 1, tzinfo=UTC)


def in_layer(name, share, layer="prompts", **changed):
    return Experiment(
        id=name,
        layer=layer,
        layer_share=share,
        variants=(
            Variant(name="control", policy="champion", share=0.5),
            Variant(name="new", policy="challenger", share=0.5),
        ),
        **changed,
    )


def drawn(experiments, n=4_000):
    assigners = Assigners(experiments)
    found = []
    for i in range(n):
        assigner = assigners.of("acme", f"u{i}", None, "r")
        found.append(None if assigner is None else assigner.assign(assigner.unit("acme", f"u{i}", None, "r")))
    return found


def test_experiments_of_a_layer_take_disjoint_units_with_known_probabilities():
    both = Experiments().put(in_layer("first", 0.5)).put(in_layer("second", 0.3))
    found = drawn(both)
    counts = Counter(None if each is None else (each.experiment_id, each.variant) for each in found)
    assert counts[None] / 4_000 == pytest.approx(0.2, abs=0.03)
    for key, probability in {("first", "new"): 0.25, ("second", "control"): 0.15}.items():
        assert counts[key] / 4_000 == pytest.approx(probability, abs=0.03)
        (told,) = {each.probability for each in found if each and (each.experiment_id, each.variant) == key}
        assert told == pytest.approx(probability)


def test_shares_of_policies_count_the_rest_of_the_layer_to_the_champion():
    (one,) = Experiments().put(in_layer("first", 0.4)).experiments
    assert Assigner(one).policy_shares == pytest.approx({"champion": 0.8, "challenger": 0.2})


def test_an_experiment_keeps_its_units_when_another_comes_or_goes():
    alone = Experiments().put(in_layer("first", 0.5))
    both = alone.put(in_layer("second", 0.5))
    stopped = both.put(msgspec.structs.replace(both.experiments[1], status="stopped"))
    of_first = [
        {i for i, each in enumerate(drawn(e)) if each and each.experiment_id == "first"} for e in (alone, both, stopped)
    ]
    assert of_first[0] == of_first[1] == of_first[2]
    grown = stopped.put(msgspec.structs.replace(stopped.experiments[0], layer_share=0.9))
    now = {i for i, each in enumerate(drawn(grown)) if each and each.experiment_id == "first"}
    assert of_first[0] < now


@pytest.mark.parametrize(
    ("second", "words"),
    [
        (in_layer("second", 0.6), "0.5 is free"),
        (in_layer("second", 0.3, unit="session"), "one kind of unit"),
        (in_layer("second", 0.3, layer="other"), "would both take"),
    ],
)
def test_what_does_not_fit_into_the_layer_is_refused(second, words):
    with pytest.raises(InputError, match=words):
        Experiments().put(in_layer("first", 0.5)).put(second)


def test_many_policies_can_be_compared_at_once():
    names = ("control", *(f"arm-{i}" for i in range(11)))
    arms = [
        Variant(name=name, policy="champion" if name == "control" else f"challenger-{name}", share=1 / 12)
        for name in names
    ]
    experiments = Experiments().put(Experiment(id="many", variants=tuple(arms)))
    assert experiments.policies() == {f"challenger-arm-{i}" for i in range(11)}
    assert {each.variant for each in drawn(experiments, 1_000) if each} == set(names)


def test_a_layer_is_for_good():
    with pytest.raises(InputError, match="start another"):
        Experiments().put(in_layer("first", 0.5)).put(in_layer("first", 0.5, layer="other"))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"layer": None}, "no `layer`"),
        ({"layer": "a b"}, "is in the layer"),
        ({"layer_share": 0.0}, "`layer_share`"),
    ],
)
def test_a_layer_that_cannot_be_is_refused(changed, words):
    with pytest.raises(InputError, match=words):
        msgspec.structs.replace(in_layer("first", 0.5), **changed)


def test_the_history_keeps_every_change_of_shares():
    experiments = Experiments().put(in_layer("first", 1.0), AT)
    (first,) = experiments.experiments
    same = experiments.put(first, AT + timedelta(days=1))
    assert same.experiments[0].history == first.history
    ramped = same.put(same.experiments[0].with_shares({"new": 0.1}), AT + timedelta(days=2))
    stopped = ramped.put(msgspec.structs.replace(ramped.experiments[0], status="stopped"), AT + timedelta(days=3))
    history = stopped.experiments[0].history
    assert [each.shares for each in history] == [{"control": 0.5, "new": 0.5}, {"control": 0.5, "new": 0.1}, {}]
    assert [each.at.day for each in history] == [1, 3, 4]


def test_a_file_of_before_layers_is_read():
    content = b'{"experiments":[{"id":"old","variants":[{"name":"control","policy":"champion","share":1.0}]}]}'
    assert msgspec.json.decode(content, type=Experiments).experiments[0].history == ()


@pytest.mark.parametrize("wrong", [{"most_harm": -0.1}, {"most_harm": 0.1, "alpha": 0.0}])
def test_a_guardrail_that_cannot_be_is_refused(wrong):
    with pytest.raises(InputError, match="guardrail"):
        Guardrail(metric="errors", **wrong)
