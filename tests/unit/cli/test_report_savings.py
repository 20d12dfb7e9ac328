"""`beast report savings` and `beast report selection` in this process: what cannot be, is refused."""

import pytest

from beast_ml.logs.store import LogStore
from beast_ml.testing.exploring_logs import exploring_requests


@pytest.mark.parametrize("price", ["large", "large=1", "large=1,2,3", "=1,2", "large=a,b"])
def test_a_price_that_is_none_is_refused(beast, price) -> None:
    code, _, error = beast("report", "savings", "--store", "s", "--price", price)
    assert code == 2
    assert "MODEL=IN,OUT" in error


@pytest.mark.parametrize("command", ["savings", "selection"])
def test_an_empty_store_is_refused_with_the_way_out(beast, command) -> None:
    code, _, error = beast("report", command, "--store", "nowhere")
    assert code == 2
    assert "log the prompts" in error


def test_an_unknown_model_of_a_price_is_refused_with_the_known_ones(beast, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("beast_ml.features.distill.static_encoder", lambda **_: None)
    LogStore(tmp_path / "s").append_requests(exploring_requests(requests=40))
    code, _, error = beast("report", "savings", "--store", "s", "--router", "none", "--price", "huge=1,2")
    assert code == 2
    assert "large, medium, small" in error
