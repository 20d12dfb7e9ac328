import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from beast_ml.cache.verifier.curve_plot import draw_curves
from beast_ml.cache.verifier.evaluate import decide_pairs, report_of
from beast_ml.cache.verifier.labelled import LabelledPairs
from beast_ml.cache.verifier.pair_files import read_labelled_pairs, read_labels, read_texts
from beast_ml.cache.verifier.risk import RiskTarget
from beast_ml.cache.verifier.training import TrainingConfig
from beast_ml.errors import DataError

QUICK = TrainingConfig(n_trees=40, n_folds=3, variants=0.1)


@pytest.fixture(scope="module")
def decided(pairs_of, hashed, distilled):
    train, test = pairs_of(0, 400), pairs_of(1, 300)
    target = RiskTarget(0.05, 0.1)
    return train, test, decide_pairs(train, test.text_a, test.text_b, hashed, distilled, target, config=QUICK)


def test_hits_are_the_scores_at_or_above_the_threshold(decided):
    _, test, decisions = decided
    assert len(decisions.ours.hit) == len(test)
    np.testing.assert_array_equal(decisions.ours.hit, decisions.ours.scores >= decisions.threshold.value)
    assert decisions.threshold.horizon == len(test)
    assert decisions.ours.hit.sum() > 20


def test_the_report_counts_what_was_decided(decided):
    train, test, decisions = decided
    report = report_of(decisions, train, test, np.random.default_rng(0))
    ours = report["methods"]["verifier"]
    assert ours["n_hits"] == decisions.ours.hit.sum()
    assert ours["n_wrong"] == (decisions.ours.hit & ~test.same).sum()
    assert ours["false_hit_rate"]["value"] == ours["n_wrong"] / len(test)
    assert ours["false_hit_rate"]["low"] <= ours["false_hit_rate"]["value"] <= ours["false_hit_rate"]["high"]
    assert ours["within_epsilon"] is (ours["n_wrong"] <= 0.05 * len(test))
    assert ours["auc"] > report["methods"]["cosine"]["auc"]
    assert set(report["gain"]) == {"cosine"}
    assert ours["design_effect"] >= 1.0
    assert ours["false_hit_rate_bound"] > ours["false_hit_rate"]["value"]
    assert report["resampling"]["drawn"].startswith("lookups connected through shared texts together")


def test_without_labels_only_decisions_are_reported(decided):
    train, _, decisions = decided
    report = report_of(decisions, train, None, np.random.default_rng(0))
    assert "methods" not in report
    assert report["decided"]["verifier"]["hits"] == decisions.ours.hit.sum()


def test_a_picture_is_drawn(decided, tmp_path):
    _, test, decisions = decided
    draw_curves(tmp_path / "curve.png", decisions.methods, test.same, 0.05)
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def write(path, **columns):
    pq.write_table(pa.table(columns), path)
    return path


def test_pairs_are_read_from_parquet(tmp_path):
    path = write(tmp_path / "p.parquet", text_a=["a"], text_b=["b"], is_duplicate=[1], more=[3])
    pairs = read_labelled_pairs(path)
    assert isinstance(pairs, LabelledPairs)
    assert (pairs.text_a, pairs.text_b, pairs.same.tolist()) == (("a",), ("b",), [True])


def test_texts_are_read_without_labels(tmp_path):
    path = write(tmp_path / "p.parquet", text_a=["a"], text_b=["b"])
    assert read_texts(path) == (("a",), ("b",))
    assert read_labels(path) is None
    with pytest.raises(DataError, match="no column `is_duplicate`"):
        read_labelled_pairs(path)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"text_a": ["a"]}, "no column `text_b`, there are text_a"),
        ({"text_a": ["a"], "text_b": [None]}, "`text_b` in row 0 is None"),
        ({"text_a": [], "text_b": []}, "has no rows"),
    ],
)
def test_wrong_files_are_refused_in_one_sentence(tmp_path, columns, message):
    path = write(tmp_path / "p.parquet", **columns)
    with pytest.raises(DataError, match=message):
        read_texts(path)


def test_a_label_that_is_none_is_refused(tmp_path):
    path = write(tmp_path / "p.parquet", text_a=["a"], text_b=["b"], is_duplicate=[7])
    with pytest.raises(DataError, match="in row 0 is 7"):
        read_labels(path)


def test_a_file_that_is_not_there_or_not_parquet_is_refused(tmp_path):
    (tmp_path / "x.parquet").write_text("no")
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        read_texts(tmp_path / "x.parquet")
    with pytest.raises(DataError, match="is no file"):
        read_texts(tmp_path / "nothing.parquet")
