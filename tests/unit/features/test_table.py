from pathlib import Path

import numpy as np
import pytest

from beast_ml.errors import DataError
from beast_ml.features.hashing import HashingEncoder
from beast_ml.features.table import FEATURES_FILE, SPEC_FILE, feature_table, read_feature_table
from beast_ml.logs.outcomes import ContextKey
from beast_ml.testing.worlds import make_world


@pytest.fixture(scope="module")
def outcomes():
    return make_world(np.random.default_rng(0), 40).outcomes


@pytest.mark.parametrize("context", [(), ("task",)])
def test_what_was_written_is_read_back_to_the_bit(outcomes, tmp_path: Path, context: tuple[ContextKey, ...]) -> None:
    table = feature_table(outcomes, HashingEncoder(), context)
    assert any(name.startswith("context_task=") for name in table.spec.names) is bool(context)
    table.write(tmp_path / "new" / "folder")
    again = read_feature_table(tmp_path / "new" / "folder")
    assert again.spec == table.spec
    np.testing.assert_array_equal(again.rows, table.rows)
    np.testing.assert_array_equal(again.query_ids, outcomes.query_ids)
    assert again.digest() == table.digest()


def test_the_digest_tells_other_rows_queries_and_specs(outcomes) -> None:
    encoder = HashingEncoder()
    whole = feature_table(outcomes, encoder)
    others = [feature_table(outcomes.rows(np.arange(39)), encoder), feature_table(outcomes, encoder, ("task",))]
    assert len({whole.digest(), *(each.digest() for each in others)}) == 3
    assert feature_table(outcomes, encoder).digest() == whole.digest()


def test_a_folder_without_features_or_with_damaged_ones_says_so(outcomes, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no readable features"):
        read_feature_table(tmp_path)
    feature_table(outcomes, HashingEncoder()).write(tmp_path)
    content = (tmp_path / FEATURES_FILE).read_bytes()
    (tmp_path / FEATURES_FILE).write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="make them again"):
        read_feature_table(tmp_path)


def test_a_spec_of_other_features_is_refused(outcomes, tmp_path: Path) -> None:
    feature_table(outcomes, HashingEncoder()).write(tmp_path / "a")
    feature_table(outcomes, HashingEncoder(), ("task",)).write(tmp_path / "b")
    (tmp_path / "b" / SPEC_FILE).replace(tmp_path / "a" / SPEC_FILE)
    with pytest.raises(DataError, match="different features"):
        read_feature_table(tmp_path / "a")


def test_a_folder_that_cannot_be_made_says_so(outcomes, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="cannot write the features"):
        feature_table(outcomes, HashingEncoder()).write(tmp_path / "file")
