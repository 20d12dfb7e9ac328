import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from beast_ml.errors import DataError, DownloadError, InputError
from beast_ml.logs.public.catalogue import CATALOGUE, PublicSet, find_set
from beast_ml.logs.public.catalogue_files import SourceFile
from beast_ml.logs.public.identity import file_sha256
from beast_ml.logs.public.local import local_state, summarise
from beast_ml.logs.public.pull import pull

GSM = [
    {"question": "1 + 1?", "scores": {"a": 0.5, "b": 1.0}},
    {"question": "2 + 2?", "scores": {"a": 0.0, "b": 0.9}},
]
MBPP = [{"question": "Reverse a list.", "scores": {"a": 1.0, "b": 7.0}}]  # 7 is no quality


@pytest.fixture
def small_set(server) -> PublicSet:
    server.files = {"gsm8k-test.json": json.dumps(GSM).encode(), "mbpp.json": json.dumps(MBPP).encode()}
    files = tuple(SourceFile(name, f"{server.url}/{name}") for name in server.files)
    return replace(find_set("routerdc7"), name="small", files=files)


def pulled_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_set_is_fetched_converted_and_checked(small_set: PublicSet, tmp_path: Path) -> None:
    seen: list[str] = []
    result = pull(small_set, tmp_path, accept_licence=True, on_progress=lambda name, *_: seen.append(name))
    assert set(seen) == {"gsm8k-test.json", "mbpp.json"}
    assert (result.n_rows, result.n_queries, result.n_models, result.n_quarantined) == (5, 3, 2, 1)
    assert result.first_seen == ("gsm8k-test.json", "mbpp.json")
    frame = pd.read_parquet(result.outcomes)
    assert set(frame["task"]) == {"gsm8k", "mbpp"}
    assert pulled_names(tmp_path / "small") == ["digests.json", "outcomes.parquet", "quarantine.jsonl"]


def test_later_pulls_must_meet_the_recorded_digests(small_set: PublicSet, server, tmp_path: Path) -> None:
    first = pull(small_set, tmp_path, accept_licence=True)
    before = first.outcomes.read_bytes()
    assert pull(small_set, tmp_path, accept_licence=True).first_seen == ()
    server.files["mbpp.json"] = b"[]"
    with pytest.raises(DownloadError, match=r"mbpp.json has sha256 .* must have"):
        pull(small_set, tmp_path, accept_licence=True)
    assert first.outcomes.read_bytes() == before


def test_files_that_came_before_a_failure_are_not_fetched_again(small_set: PublicSet, server, tmp_path: Path) -> None:
    mbpp = server.files.pop("mbpp.json")
    with pytest.raises(DownloadError, match="404"):
        pull(small_set, tmp_path, accept_licence=True)
    assert local_state(small_set, tmp_path).state == "unfinished"
    assert not (tmp_path / "small" / "outcomes.parquet").exists()
    server.files["mbpp.json"] = mbpp
    n_requests = len(server.ranges)
    pull(small_set, tmp_path, accept_licence=True)
    assert len(server.ranges) == n_requests + 1
    assert local_state(small_set, tmp_path).state == "here"


def test_a_whole_file_that_is_not_the_expected_one_is_fetched_again(small_set: PublicSet, tmp_path: Path) -> None:
    pull(small_set, tmp_path, accept_licence=True)
    downloads = tmp_path / "small" / ".downloads"
    downloads.mkdir()
    (downloads / "mbpp.json").write_text("left over")
    assert pull(small_set, tmp_path, accept_licence=True).n_rows == 5


def test_content_in_another_form_leaves_no_table(small_set: PublicSet, server, tmp_path: Path) -> None:
    server.files["mbpp.json"] = b'{"question": 1}'
    with pytest.raises(DataError, match=r"mbpp.json is no list of questions with scores"):
        pull(small_set, tmp_path, accept_licence=True)
    assert not (tmp_path / "small" / "outcomes.parquet").exists()


def test_a_set_without_a_licence_must_be_accepted(small_set: PublicSet, server, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no licence .* add --accept-licence"):
        pull(small_set, tmp_path)
    assert server.ranges == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", [s.name for s in CATALOGUE if not s.files])
def test_a_set_that_cannot_be_pulled_says_why_and_where_it_is(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"{name} cannot be pulled: .*; its home is https://"):
        pull(find_set(name), tmp_path, accept_licence=True)


@pytest.mark.parametrize(("name", "n_queries"), [("quickstart-val", 1785), ("quickstart-test", 1824)])
def test_the_quickstart_sets_need_no_network(name: str, n_queries: int, tmp_path: Path) -> None:
    result = pull(find_set(name), tmp_path)
    assert (result.n_queries, result.n_models, result.n_quarantined) == (n_queries, 3, 0)
    assert result.first_seen == ()
    summary = summarise(result.outcomes)
    assert summary.models[0].quality == max(model.quality for model in summary.models)
    assert summary.best_per_query >= summary.models[0].quality
    assert summary.models[0].cost_usd is not None
    assert summary.models[0].latency_s is None
    assert sum(summary.tasks.values()) == n_queries


def test_a_changed_package_file_is_refused(tmp_path: Path) -> None:
    source = replace(find_set("quickstart-val").files[0], sha256="0" * 64)
    with pytest.raises(DownloadError, match="reinstall the package"):
        pull(replace(find_set("quickstart-val"), files=(source,)), tmp_path)
    absent = replace(source, url="package:quickstart/none.jsonl")
    with pytest.raises(DataError, match="is not there; install"):
        pull(replace(find_set("quickstart-val"), files=(absent,)), tmp_path)


def test_a_broken_digest_file_says_what_to_do(small_set: PublicSet, tmp_path: Path) -> None:
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "digests.json").write_text("{")
    with pytest.raises(DataError, match=r"is no JSON: .* remove it"):
        pull(small_set, tmp_path, accept_licence=True)


def test_a_folder_that_cannot_be_written_is_named(small_set: PublicSet, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot write to .* choose another folder with --dir"):
        pull(small_set, tmp_path / "file", accept_licence=True)


def test_the_state_of_a_damaged_table_is_unfinished(small_set: PublicSet, tmp_path: Path) -> None:
    result = pull(small_set, tmp_path, accept_licence=True)
    assert local_state(small_set, tmp_path).n_rows == 5
    assert file_sha256(result.outcomes) == file_sha256(result.outcomes)
    result.outcomes.write_bytes(result.outcomes.read_bytes()[:-20])
    assert local_state(small_set, tmp_path).state == "unfinished"
    with pytest.raises(DataError, match="pull it again"):
        summarise(result.outcomes)
