from pathlib import Path

import pytest

from beast_ml.cli.settings_file import lines_of, settings_of_model, write_settings
from beast_ml.domain import Price
from beast_ml.domain.endpoint import Endpoint
from beast_ml.errors import SettingsError
from beast_ml.settings import load_settings

ENTRIES = settings_of_model("new: one", Price(0.5, 1.5), Endpoint("new", "new: one", "https://x.example/v1", "", "KEY"))


def test_lines_are_added_to_the_shipped_file_and_nothing_else_changes(tmp_path):
    shipped = (Path(__file__).parents[3] / "mlflow.yaml").read_text()
    (tmp_path / "mlflow.yaml").write_text(shipped)
    write_settings(tmp_path / "mlflow.yaml", ENTRIES)
    settings = load_settings(tmp_path)
    assert settings.endpoints[0].api_key_env == "KEY"
    assert settings.prices() == {"new: one": Price(0.5, 1.5)}
    written = (tmp_path / "mlflow.yaml").read_text().splitlines()
    left = [line for line in written if "new: one" not in line]
    assert [line.replace(": []", ":") for line in shipped.splitlines()] == [line.replace(": []", ":") for line in left]


@pytest.mark.parametrize(
    "before",
    [
        "",
        "tracking: {uri: sqlite:///a.db}",
        "endpoints:\n- {name: a, model: a, base_url: 'http://a/v1'}\ncandidates: []  # ours\n",
        "endpoints:\n    # the first\n    - name: a\n      model: a\n      base_url: http://a/v1\n",
    ],
)
def test_other_ways_of_writing_a_list_are_kept(tmp_path, before):
    path = tmp_path / "mlflow.yaml"
    path.write_text(before)
    n = len(load_settings(tmp_path).endpoints)
    write_settings(path, ENTRIES)
    settings = load_settings(tmp_path)
    assert len(settings.endpoints) == n + 1
    assert settings.candidates[0].name == "new: one"
    assert all(line.replace(" []", "") in path.read_text().splitlines() for line in before.splitlines())


@pytest.mark.parametrize(
    ("before", "words"),
    [
        ("endpoints: [{name: a, model: a, base_url: 'http://a/v1'}]\n", "as it is written"),
        ("candidates:\n  - {name: 'new: one', usd_per_hour: 2, concurrency: 8}\n", "already"),
    ],
)
def test_what_cannot_be_added_to_is_left_alone(tmp_path, before, words):
    path = tmp_path / "mlflow.yaml"
    path.write_text(before)
    with pytest.raises(SettingsError, match=words):
        write_settings(path, ENTRIES)
    assert path.read_text() == before


def test_the_lines_are_what_is_written(tmp_path):
    (tmp_path / "mlflow.yaml").write_text(lines_of(ENTRIES))
    assert load_settings(tmp_path).endpoints[0].model == "new: one"
