from beast_ml.features.table import read_feature_table


def test_the_tiny_variant_writes_features_that_can_be_read_and_leaves_one_run(folder, run, query) -> None:
    result = run("features.py", "--encoder", "hashing", "--use-task")
    assert result.returncode == 0, result.stderr
    table = read_feature_table(folder / "beast-out" / "features")
    assert table.digest() in result.stdout
    assert query("select name, status from runs") == [("features outcomes", "FINISHED")]
    params = dict(query("select key, value from params"))
    assert params["feature_digest"] == table.digest()
    assert params["features"] == str(table.rows.shape[1])
    assert any(name.startswith("context_task=") for name in table.spec.names)
    inputs = dict(query("select name, digest from datasets"))
    assert inputs["outcomes (features)"] == table.digest()[:36]


def test_a_file_that_is_not_there_is_one_sentence_and_exit_code_2(run, query) -> None:
    result = run("features.py", "--outcomes", "none.parquet")
    assert result.returncode == 2
    assert result.stderr.startswith("error:")
    assert query("select name from runs") == []
