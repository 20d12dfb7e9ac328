from datetime import UTC, datetime

import pytest

from beast_ml.errors import DataError
from beast_ml.experiments.kept_analyses import KeptAnalyses, KeptAnalysis, read_analyses, write_analyses

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def kept(experiment, metric, **more):
    return KeptAnalysis(experiment, metric, NOW, **more)


def test_newer_ones_stand_in_for_all_of_their_experiment_and_others_stay(tmp_path):
    path = tmp_path / "analyses.json"
    assert read_analyses(path) == KeptAnalyses()
    old = KeptAnalyses((kept("a", "quality"), kept("a", "errors"), kept("b", "quality", waiting="no rows")))
    write_analyses(path, old.with_newer((kept("a", "quality", report={"variants": {}}),)))
    assert read_analyses(path).analyses == (
        kept("b", "quality", waiting="no rows"),
        kept("a", "quality", report={"variants": {}}),
    )


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "analyses.json").write_text("{")
    with pytest.raises(DataError, match=r"analyses\.json"):
        read_analyses(tmp_path / "analyses.json")
