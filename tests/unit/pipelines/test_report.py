"""pipelines/report.py: what a scheduler runs."""

from beast_ml.testing.costly_logs import costly_log


def test_it_writes_the_week_and_says_what_it_cost(run, folder):
    costly_log(folder / "data" / "logs", 7, 10)
    result = run("report.py", "week", "--ending", "2026-03-08", "--no-judge")
    assert result.returncode == 0, result.stderr
    assert "requests cost $" in result.stdout
    assert (folder / "beast-out" / "report-week-2026-03-08" / "report.html").is_file()


def test_a_day_that_is_none_is_the_users_to_mend(run):
    result = run("report.py", "week", "--ending", "soon")
    assert result.returncode == 2
    assert "--ending" in result.stderr
