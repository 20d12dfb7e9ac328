"""What the READMEs show, typed as it stands there: a log is taken in and looked at, an experiment analysed."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import beast_ml
from beast_ml.testing.shown_commands import shown_commands

ROOT = Path(beast_ml.__file__).parents[1]
PAGES = (ROOT / "README.md", ROOT / "beast_ml" / "experiments" / "README.md")
TYPED = (
    "beast logs simulate OUTCOMES.parquet --out sim --policy epsilon-greedy --epsilon 0.1",
    "beast logs ingest requests.jsonl",
    "beast logs check",
    "beast report errors",
    "beast experiment design --sd 0.4 --effect 0.02 --units-per-day 3000",
    "beast experiment analyze --data D.parquet --metric NAME --alpha 0.05 --out DIR",
)


def observations(path):
    rng = np.random.default_rng(0)
    variant = np.array(["control", "new"])[rng.integers(2, size=2_000)]
    times = np.datetime64("2026-03-01", "us") + np.arange(2_000) * np.timedelta64(1, "m")
    columns = {
        "unit_id": [f"u{i}" for i in range(2_000)],
        "variant": variant,
        "value": rng.normal(size=2_000) + 0.3 * (variant == "new"),
        "observed_at": pa.array(times, pa.timestamp("us", "UTC")),
    }
    pq.write_table(pa.table(columns), path)


@pytest.mark.slow
def test_commands_do_what_the_pages_show(beast, tmp_path):
    shutil.copy(ROOT / "data" / "sample" / "requests.jsonl", tmp_path)
    shutil.copy(ROOT / "data" / "sample" / "outcomes.parquet", tmp_path / "OUTCOMES.parquet")
    observations(tmp_path / "D.parquet")
    shown = {str(each): each for page in PAGES for each in shown_commands(page)}
    for line in TYPED:
        code, printed, said = beast(*shown[line].words[1:])
        assert (code, bool(printed.strip())) == (0, True), (line, said)
    assert any((tmp_path / "sim").rglob("*.parquet"))
    assert (tmp_path / "DIR" / "report.json").is_file()
    assert any((tmp_path / "data" / "logs").rglob("*.parquet"))
