import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import stamina.instrumentation
from typer.testing import CliRunner, Result

from beast_ml.cli.main import app
from beast_ml.errors import InputError
from beast_ml.logs.public import catalogue, pull
from beast_ml.logs.public.catalogue import CATALOGUE, find_set
from beast_ml.logs.public.catalogue_files import SourceFile


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("BEAST_DATA_DIR", raising=False)
    yield
    stamina.instrumentation.set_on_retry_hooks(None)


def data(*arguments: object) -> Result:
    return CliRunner(env={"COLUMNS": "160"}).invoke(app, ["data", *map(str, arguments)])


def test_list_has_every_set_in_both_forms(tmp_path: Path) -> None:
    entries = json.loads(data("list", "--dir", tmp_path, "--json").stdout)
    assert [entry["name"] for entry in entries] == [public_set.name for public_set in CATALOGUE]
    assert {entry["state"] for entry in entries} == {"absent"}
    text = data("list", "--dir", tmp_path).stdout
    assert all(public_set.name in text and public_set.home in text for public_set in CATALOGUE)
    assert "not pullable" in text


def test_pull_then_list_then_describe(tmp_path: Path) -> None:
    pulled = data("pull", "quickstart-val", "--dir", tmp_path)
    assert pulled.exit_code == 0, pulled.output
    assert "5,355 rows, 1,785 queries, 3 models" in pulled.stdout
    assert "5,355 rows, " in data("list", "--dir", tmp_path).stdout
    text = data("describe", "quickstart-val", "--dir", tmp_path).stdout
    assert "best model of each query" in text
    assert "every file against its published sha256" in text
    described = json.loads(data("describe", "quickstart-val", "--dir", tmp_path, "--json").stdout)
    assert described["statistics"]["n_models"] == 3
    again = data("pull", "quickstart-val", "--dir", tmp_path, "--json")
    assert json.loads(again.stdout)[0]["pulled"] is False
    forced = data("pull", "quickstart-val", "--dir", tmp_path, "--json", "--force")
    assert json.loads(forced.stdout)[0]["n_rows"] == 5355


def test_describe_of_what_is_not_here_tells_why(tmp_path: Path) -> None:
    assert "`beast data pull mmlu_pro` fetches it" in data("describe", "mmlu_pro", "--dir", tmp_path).stdout
    assert "no converter for it" in data("describe", "messplus", "--dir", tmp_path).stdout
    described = json.loads(data("describe", "messplus", "--dir", tmp_path, "--json").stdout)
    assert described["statistics"] is None
    assert described["verified"] == "not at all: it cannot be pulled"


def test_the_folder_comes_from_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEAST_DATA_DIR", str(tmp_path))
    described = json.loads(data("describe", "mmlu_pro", "--json").stdout)
    assert described["outcomes"] == str(tmp_path / "mmlu_pro" / "outcomes.parquet")


def test_without_a_folder_the_users_own_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    described = json.loads(data("describe", "mmlu_pro", "--json").stdout)
    assert Path(described["outcomes"]).parts[-3:] == ("data", "mmlu_pro", "outcomes.parquet")


def test_quarantined_rows_and_new_digests_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = SourceFile("mbpp.json", "https://example.invalid/mbpp.json")
    monkeypatch.setattr(
        catalogue, "CATALOGUE", (replace(find_set("routerdc7"), files=(source,), needs_acceptance=False),)
    )
    content = [{"question": "Q", "scores": {"a": 1.0, "b": 3.0}}]

    def fetch(_client: object, _url: str, path: Path, _sha256: object, on_progress: pull.FileProgress) -> str:
        path.write_text(json.dumps(content))
        on_progress(10, None)  # type: ignore[call-arg]
        on_progress(20, 20)  # type: ignore[call-arg]
        return "digest"

    monkeypatch.setattr(pull, "download", fetch)
    result = data("pull", "routerdc7", "--dir", tmp_path)
    assert result.exit_code == 0, result.output
    assert "1 rows were no valid outcomes: quarantine.jsonl" in result.stdout
    assert "digests of 1 files recorded" in result.stdout


def test_a_set_without_a_licence_must_be_accepted(tmp_path: Path) -> None:
    result = data("pull", "routerbench3", "--dir", tmp_path)
    assert isinstance(result.exception, InputError)
    assert "none stated" in result.stderr
