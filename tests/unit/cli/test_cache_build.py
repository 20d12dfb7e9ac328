import pytest


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "nothing to build a cache from"),
        (("--log", "logs", "--prompts", "x.parquet"), "give --log or --prompts, not both"),
        (("--prompts", "none.parquet"), "cannot read none.parquet"),
        (("--log", "none"), "cannot read none"),
    ],
)
def test_a_build_without_usable_data_is_one_sentence_and_exit_code_2(arguments, said, beast, tmp_path):
    code, _, err = beast("cache", "build", "--out", "made", *arguments)
    assert code == 2
    assert said in " ".join(err.split())
    assert not (tmp_path / "made").exists()
