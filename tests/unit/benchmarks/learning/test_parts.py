from beast_ml.benchmarks.figures import Figure, PartResult
from beast_ml.benchmarks.learning.parts import LEARNING_PARTS, describe, run_parts, tables, to_markdown
from beast_ml.benchmarks.part_context import PartContext

RESULT = PartResult(
    "ope",
    (
        Figure("ope", "a set", "dr", "coverage", 0.95, None, 0.93, 0.97),
        Figure("ope", "a set", "ips", "coverage", 0.94),
        Figure("ope", "another", "dr", "coverage", None),
        Figure("ope", "a set", "dr", "rmse", 0.0123456),
    ),
    ("500 logs",),
)


def test_a_figure_has_a_table_with_a_row_a_setting_and_a_column_a_method():
    coverage, rmse = tables(RESULT)
    assert coverage == (
        "ope: coverage",
        ("", "dr", "ips"),
        [("a set", "0.95 [0.93, 0.97]", "0.94"), ("another", "-", "")],
    )
    assert rmse[2] == [("a set", "0.0123")]


def test_the_report_is_a_table_for_people_and_values_for_programs():
    assert "| a set | 0.95 [0.93, 0.97] | 0.94 |" in to_markdown([RESULT], "beast bench learning")
    assert describe([RESULT], "x")["figures"][0]["value"] == 0.95


def test_sets_that_are_not_there_are_noted(tmp_path):
    context = PartContext(
        data=tmp_path, encoder="hashing", n_seeds=1, quick=True, peers=False, folder=tmp_path, say=print
    )
    # The others draw their data themselves, or have the set that comes with a package.
    on_sets = [name for name in LEARNING_PARTS if name not in ("sequential", "savings", "tuning")]
    for result in run_parts(on_sets, context):
        assert result.figures == ()
        assert any("is not there" in note for note in result.notes)
