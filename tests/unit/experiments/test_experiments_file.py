import json
import os

import msgspec
import pytest

from beast_ml.errors import DataError, InputError, UnavailableError
from beast_ml.experiments.definitions import Experiment, Variant
from beast_ml.experiments.experiments_file import Experiments, read_experiments, write_experiments
from beast_ml.experiments.followed import FollowedExperiments
from beast_ml.experiments.points import POINTS
from beast_ml.testing.experiments import arms


def test_two_running_experiments_cannot_take_the_same_request():
    everybody = Experiment(id="a", variants=arms(control=0.5))
    acme = Experiment(id="b", variants=arms(control=0.5), tenants=("acme", "zeta"))
    zeta = Experiment(id="c", variants=arms(control=0.5), tenants=("zeta",))
    with pytest.raises(InputError, match="'a' and 'b' would both take"):
        Experiments((everybody, acme))
    with pytest.raises(InputError, match="'b' and 'c' would both take the requests of 'zeta'"):
        Experiments((acme, zeta))
    with pytest.raises(InputError, match="2 experiments are named 'a'"):
        Experiments((everybody, everybody))
    stopped = msgspec.structs.replace(everybody, status="stopped")
    assert Experiments((stopped, acme)).running() == (acme,)


def test_policies_to_load_are_those_of_running_experiments():
    shadowed = Experiment(id="a", shadow="shadow", tenants=("acme",))
    compared = Experiment(id="b", variants=arms(control=0.5, new=0.1), tenants=("zeta",))
    assert Experiments((shadowed, compared)).policies() == {"shadow", "challenger"}
    assert Experiments((msgspec.structs.replace(shadowed, status="stopped"),)).policies() == frozenset()


def test_units_and_variants_keep_their_meaning():
    kept = Experiments().put(Experiment(id="e", variants=arms(control=0.1, new=0.1)))
    with pytest.raises(InputError, match="draws by 'user', not by 'request'"):
        kept.put(Experiment(id="e", variants=arms(control=0.1, new=0.1), unit="request"))
    swapped = (*arms(control=0.1), Variant(name="new", policy="champion", share=0.1))
    with pytest.raises(InputError, match="served by the challenger, not by the champion"):
        kept.put(Experiment(id="e", variants=swapped))


def test_experiments_outlive_a_restart(tmp_path):
    path = tmp_path / "state" / "experiments.json"
    assert read_experiments(path) == Experiments()
    written = Experiments().put(Experiment(id="e", variants=arms(control=1 / 3, new=1 / 3, other=1 / 3)))
    write_experiments(path, written)
    assert read_experiments(path) == written
    assert os.listdir(path.parent) == ["experiments.json"]  # noqa: PTH208  nothing is left beside it


def test_people_write_shares_without_points(tmp_path):
    path = tmp_path / "experiments.json"
    variants = [{"name": "control", "policy": "champion", "share": 0.5}]
    path.write_text(json.dumps({"experiments": [{"id": "e", "variants": variants}]}), "utf-8")
    assert read_experiments(path).experiments[0].laid_out().variants[0].ranges == ((0, POINTS // 2 - 1),)


@pytest.mark.parametrize("content", ["{", '{"experiments": 3}', '{"experiments": [{"id": "e", "colour": 1}]}', "\xff"])
def test_a_broken_file_says_what_to_do(tmp_path, content):
    path = tmp_path / "experiments.json"
    path.write_text(content, "latin-1")
    with pytest.raises(InputError, match=r"holds no experiments: .*mend it, or remove it"):
        read_experiments(path)


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "experiments.json"
    write_experiments(path, Experiments().put(Experiment(id="e", variants=arms(control=0.5))))
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(DataError, match=r"cannot write .*No space"):
        write_experiments(path, Experiments())
    with pytest.raises(UnavailableError, match=r"No space.*nothing was changed"):  # a client is told to come again
        FollowedExperiments(path).put(Experiment(id="e", variants=arms(control=0.4)))
    assert path.read_bytes() == before
    assert {each.name for each in tmp_path.iterdir()} == {"experiments.json", "experiments.json.lock"}
