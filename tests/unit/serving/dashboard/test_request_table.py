"""The newest rows, each once, with what came later."""

import numpy as np
import pytest

from beast_ml.serving.dashboard.request_table import NUMBERS, TEXTS, RequestTable


def one(table, start):
    rows = table.rows(start.timestamp() - 1)
    assert len(rows) == 1
    words = {name: rows.words[name][rows.codes(name)[0]] for name in TEXTS}
    return {name: rows[name][0] for name in NUMBERS} | words


def test_a_request_is_there_once_however_often_it_comes(table, line, start):
    table.add([line(1, cost_usd=0.1), line(1, cost_usd=0.2)])
    assert one(table, start)["cost_usd"] == 0.1
    assert table.n_seen == 1


def test_an_outcome_tells_what_became_of_a_request(table, line, outcome, start):
    table.add([line(1, status="cancelled", error_kind="unreported", served_model=None)])
    table.add([outcome(1, status="ok", latency_s=0.5, cost_usd=0.01)])
    row = one(table, start)
    assert (row["status"], row["error_kind"], row["served_model"]) == ("ok", "", "small")
    assert (row["latency_s"], row["cost_usd"]) == (0.5, 0.01)


def test_the_latest_observed_wins_whatever_the_order(table, line, outcome, feedback, start):
    table.add([line(1)])
    table.add(
        [outcome(1, 9.0, cost_usd=0.9), outcome(1, 5.0, cost_usd=0.5), feedback(1, 0.9, 9.0), feedback(1, 0.1, 5.0)]
    )
    row = one(table, start)
    assert (row["cost_usd"], row["quality"]) == (0.9, 0.9)


def test_what_is_told_before_the_request_came_waits_for_it(table, line, outcome, feedback, start):
    table.add([outcome(1, cost_usd=0.3), feedback(1, 0.7)])
    assert table.n_seen == 0
    table.add([line(1)])
    assert (one(table, start)["cost_usd"], one(table, start)["quality"]) == (0.3, 0.7)


def test_of_a_request_that_was_refused_there_is_nothing_to_tell(table, line, outcome, feedback, start):
    refused = line(1, status="rejected", error_kind="budget", served_model=None, cost_usd=None, chosen_model=None)
    table.add([refused, outcome(1, status="ok", served_model="large", cost_usd=3.0), feedback(1, 1.0)])
    row = one(table, start)
    assert (row["status"], row["error_kind"], row["served_model"]) == ("rejected", "budget", "")
    assert np.isnan([row["cost_usd"], row["quality"]]).all()


def test_a_label_says_that_a_request_was_answered(table, line, feedback, start):
    table.add([line(1, status="cancelled", error_kind="unreported", served_model=None), feedback(1, 1.0)])
    assert (one(table, start)["status"], one(table, start)["served_model"]) == ("ok", "small")


def test_failed_requests_have_no_server(table, line, start):
    table.add([line(1, status="error", error_kind="provider", served_model=None)])
    assert (one(table, start)["error_kind"], one(table, start)["served_model"]) == ("provider", "")


def test_the_oldest_to_come_leaves_first_and_is_known_no_more(line, outcome, start):
    table = RequestTable(3)
    table.add([line(i, float(i)) for i in range(5)])
    rows = table.rows(0.0)
    assert sorted(table.request_id(int(place)) for place in rows.places) == ["r2", "r3", "r4"]
    assert table.is_full
    table.add([outcome(0, cost_usd=9.0)])
    assert np.isnan(table.rows(0.0)["cost_usd"]).all()


def test_only_the_window_is_returned(table, line, start):
    table.add([line(i, float(i)) for i in range(10)])
    assert len(table.rows(start.timestamp() + 7)) == 3


@pytest.mark.parametrize(
    ("prompt", "kept"), [(None, None), ("hello", "hello"), ("x" * 160, "x" * 160), ("x" * 5000, "x" * 159 + "…")]
)
def test_a_prompt_is_kept_in_part_where_the_log_has_it(table, line, prompt, kept):
    table.add([line(1, prompt=prompt)])
    assert table.prompt(0) == kept


def test_secrets_in_prompts_are_not_kept(table, line):
    table.add([line(1, prompt="my key is sk-abcdefghijklmnopqrstuvwxyz, thanks")])
    assert table.prompt(0) == "my key is [removed], thanks"


def test_versions_grow(table, line):
    before = table.version
    table.add([line(1)])
    assert table.version > before
