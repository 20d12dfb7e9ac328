"""What `beast tune router` and `beast train --settings` refuse, before anything is fitted."""

import numpy as np
import pandas as pd
import pytest

from beast_ml.testing.worlds import make_world


@pytest.fixture
def table(tmp_path):
    """Return a file with the outcomes of eighty queries."""
    world = make_world(np.random.default_rng(0), 80).outcomes
    frames = [
        pd.DataFrame(
            {
                "query_id": world.query_ids,
                "prompt": world.prompts,
                "model": model,
                "quality": world.quality[:, j],
                "cost_usd": world.cost_usd[:, j],
            }
        )
        for j, model in enumerate(world.models)
    ]
    pd.concat(frames).to_parquet(tmp_path / "few.parquet")
    return "few.parquet"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ((), "80 different questions"),
        (("--encoders", "static,elmo"), "elmo"),
        (("--encoders", " ,"), "names none"),
        (("--pool", "large,wizard"), "wizard"),
        (("--storage", "mysql://host/db"), "must be sqlite or postgresql"),
    ],
)
def test_what_cannot_be_tuned_is_named(beast, table, options, told):
    code, _, said = beast("tune", "router", "--outcomes", table, *options)
    assert code == 2
    assert told in said


def test_a_log_is_refused_with_what_to_do_instead(beast, tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "log.jsonl").write_text('{"request_id": "r1", "chosen_model": "large", "propensity": 0.5}\n')
    for log in ("store", "log.jsonl"):
        code, _, said = beast("tune", "router", "--outcomes", log)
        assert code == 2
        assert f"beast train --log {log}" in " ".join(said.split())


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--settings", "absent.yaml"), "absent.yaml"),
        (("--settings", "wrong.yaml"), "droput"),
        (("--settings", "wrong.yaml", "--use-task"), "give no other"),
    ],
)
def test_settings_that_cannot_be_used_are_named(beast, table, tmp_path, options, told):
    (tmp_path / "wrong.yaml").write_text("droput: 0.1")
    code, _, said = beast("train", "--outcomes", table, *options)
    assert code == 2
    assert told in said
