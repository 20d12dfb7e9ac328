"""pipelines/learn.py: what a scheduler runs."""


def test_it_says_where_the_loop_stands(run):
    result = run("learn.py")
    assert result.returncode == 0, result.stderr
    assert result.stdout == "waiting: 0 new labelled requests, 1,000 are needed\n"


def test_wrong_settings_are_the_users_to_mend(run, folder):
    (folder / "mlflow.yaml").write_text("learning: {canary_share: 0.9}")
    result = run("learn.py")
    assert result.returncode == 2
    assert "learning.canary_share" in result.stderr
