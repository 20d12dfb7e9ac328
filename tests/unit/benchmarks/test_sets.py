import os
from pathlib import Path

import pandas as pd
import pytest

from beast_ml.benchmarks.sets import BFCL_POOL, SETS, choose_sets, load_set
from beast_ml.errors import DataError, InputError

DATA = os.environ.get("BEAST_DATA_DIR")


def test_sets_come_in_the_order_of_reports_and_unknown_ones_are_named():
    assert [one.name for one in choose_sets("bfcl, quickstart")] == ["quickstart", "bfcl"]
    assert len(choose_sets(None)) == len(SETS) == 9
    with pytest.raises(InputError, match=r"no set 'mnist', there are quickstart, mmlu"):
        choose_sets("mmlu,mnist")
    with pytest.raises(InputError, match="no set ''"):
        choose_sets(",")


def test_a_set_that_is_not_there_is_none_and_a_damaged_one_an_error(tmp_path: Path):
    assert load_set(SETS["mmlu"], None) is None
    assert load_set(SETS["mmlu"], tmp_path) is None
    path = tmp_path / "messplus" / "outcomes.parquet"
    path.parent.mkdir()
    path.write_bytes(b"PAR1")
    with pytest.raises(DataError, match="as the set messplus"):
        load_set(SETS["messplus"], tmp_path)


def test_the_quickstart_set_needs_no_folder():
    outcomes = load_set(SETS["quickstart"], None)
    assert outcomes is not None
    assert (outcomes.n_queries, len(outcomes.models)) == (1785, 3)


def write(folder: Path, name: str, **columns: list) -> None:
    (folder / name).mkdir()
    defaults = {"prompt": columns["query_id"], "quality": [1.0] * len(columns["query_id"])}
    pd.DataFrame({**defaults, **columns}).to_parquet(folder / name / "outcomes.parquet")


def test_contaminated_rows_and_other_benchmarks_are_dropped(tmp_path: Path):
    write(
        tmp_path, "routellm_pair", query_id=["a", "b", "c"], model=["m"] * 3,
        task=["mmlu/law", "mmlu/law", "gsm8k"], contaminated=[False, True, False],
    )  # fmt: skip
    assert load_set(SETS["mmlu"], tmp_path).query_ids.tolist() == ["a"]
    assert load_set(SETS["gsm8k"], tmp_path).query_ids.tolist() == ["c"]


def test_models_without_cost_or_with_few_answers_do_not_compete(tmp_path: Path):
    queries = [f"q{i}" for i in range(100)]
    write(
        tmp_path, "zeroeval", query_id=[*queries, *queries, *queries[:90]],
        model=["whole"] * 100 + ["unpriced"] * 100 + ["partial"] * 90,
        cost_usd=[1.0] * 100 + [None] * 100 + [1.0] * 90,
    )  # fmt: skip
    assert load_set(SETS["zeroeval"], tmp_path).models == ("whole",)


@pytest.mark.real_data
@pytest.mark.skipif(DATA is None, reason="BEAST_DATA_DIR is not set: no real outcome sets")
@pytest.mark.parametrize(
    ("name", "n_models"), [("mmlu", 2), ("gsm8k", 2), ("routerbench3", 11), ("bfcl", 12), ("zeroeval", 26)]
)
def test_public_sets_have_their_pools(name: str, n_models: int):
    outcomes = load_set(SETS[name], Path(str(DATA)))
    assert outcomes is not None
    assert len(outcomes.models) == n_models
    if name == "bfcl":
        assert set(outcomes.models) == set(BFCL_POOL)
