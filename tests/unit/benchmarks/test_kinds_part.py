import numpy as np

from beast_ml.benchmarks import kinds_part
from beast_ml.benchmarks.part_context import PartContext
from beast_ml.testing.worlds import make_world


def test_kinds_are_scored_in_domain_and_on_sets_left_out(tmp_path, monkeypatch):
    worlds = {name: make_world(np.random.default_rng(i), 200, prefix=name).outcomes for i, name in enumerate("ab")}
    tasks = {name: (list(one.prompts), one.tasks.tolist()) for name, one in worlds.items()}
    monkeypatch.setattr(kinds_part, "read_tasks", lambda _: {**tasks, "lone": (["odd"], ["not in the table"])})
    result = kinds_part.measure_kinds(PartContext(None, "hashing", 1, True, False, tmp_path, lambda _: None))
    found = {(figure.dataset, figure.router, figure.name): figure.value for figure in result.figures}
    assert found["all sets", "beast", "macro_f1"] > 0.8
    for name in ("a", "b", "mean over sets left out"):
        assert 0.5 < found[name, "unseen", "macro_f1"] <= 1.0
        assert (name, "beast", "macro_f1") in found
    assert result.notes == ("1 questions of lone have a task without a kind",)
