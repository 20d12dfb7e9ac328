from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from beast_ml.errors import DataError, NotEnoughDataError
from beast_ml.evaluation.off_policy.read import read_policy_data


def put(name, row, value):
    def change(columns):
        columns[name][row] = value

    return change


def test_a_clean_log_is_read_whole(files):
    data = read_policy_data(*files())
    assert data.usage.used == 300
    assert data.usage.warning() is None
    assert data.models == ("large", "medium", "small")
    np.testing.assert_allclose(data.target[0], [0.75, 0.25, 0.0])
    assert data.candidates.all()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (put("propensity", 5, None), "no propensity"),
        (put("propensity", 5, float("nan")), "no propensity"),
        (put("propensity", 5, 0.0), "a propensity of 0 or less"),
        (put("propensity", 5, -0.2), "a propensity of 0 or less"),
        (put("propensity", 5, 1.2), "a propensity above 1"),
        (put("candidates", 5, []), "a chosen model that was no candidate"),
        (put("quality", 5, 1.5), "a quality that is none"),
        (put("request_id", 5, None), "no request_id"),
    ],
)
def test_a_bad_request_is_counted_with_its_reason_and_the_others_are_used(files, change, reason):
    data = read_policy_data(*files(change))
    assert data.usage.refused == {reason: 1}
    assert data.usage.used == 299
    assert "r5" not in data.request_ids
    assert reason in data.usage.warning()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (put("probability", 10, 0.5), "target probabilities that do not sum to 1"),
        (put("probability", 10, -0.75), "a target probability that is none"),
        (put("model", 11, "large"), "a model twice in the target"),
        (put("model", 10, "unheard-of"), "a target that chooses 'unheard-of', which was no candidate of any request"),
    ],
)
def test_a_bad_target_is_counted_with_its_reason(files, change, reason):
    usage = read_policy_data(*files(None, change)).usage
    assert usage.refused == {reason: 1}
    assert usage.used == 299


def test_requests_unknown_on_either_side_are_told(files):
    def rename(target):
        target["request_id"][0] = target["request_id"][1] = "someone else's"

    usage = read_policy_data(*files(None, rename)).usage
    assert usage.unknown_target_rows == 2
    assert usage.refused == {"no target probabilities": 1}


def test_a_cache_hit_is_nothing_bad(files):
    usage = read_policy_data(*files(put("chosen_model", 3, None))).usage
    assert (usage.no_choice, usage.refused, usage.used) == (1, {}, 299)


def test_copies_count_once_and_contradictions_not_at_all(files):
    def double(log):
        for name, values in log.items():
            values += [values[0], values[1]]
            if name == "quality":
                values[-1] = 1.0 - values[1]

    usage = read_policy_data(*files(double)).usage
    assert usage.duplicates == 1
    assert usage.refused == {"several different rows of one request": 1}
    assert usage.used == 299


def test_the_answer_of_a_fallback_says_nothing_of_the_chosen_model(files):
    def serve(log):
        log["served_model"] = list(log["chosen_model"])
        log["served_model"][7] = "small" if log["chosen_model"][7] != "small" else "large"

    data = read_policy_data(*files(serve))
    assert np.flatnonzero(np.isnan(data.reward)).tolist() == [7]
    assert data.usage.used == 300
    assert data.usage.warning() == ("used, but answered by another model than the chosen one, quality not counted: 1")


def test_a_log_without_any_usable_request_is_refused_with_the_reason(files):
    def spoil(log):
        log["propensity"] = [0.0] * 300

    with pytest.raises(NotEnoughDataError, match="a propensity of 0 or less: 300"):
        read_policy_data(*files(spoil))


def test_an_empty_log_is_refused(files):
    with pytest.raises(NotEnoughDataError, match="no rows"):
        read_policy_data(*files(lambda log: [values.clear() for values in log.values()]))


def test_a_missing_column_is_named(files):
    with pytest.raises(DataError, match="no column propensity"):
        read_policy_data(*files(lambda log: log.pop("propensity")))


def test_candidates_that_are_no_lists_are_refused_with_what_they_must_be(files):
    def joined(columns):
        columns["candidates"] = [",".join(names) for names in columns["candidates"]]

    with pytest.raises(DataError, match=r"candidates of the log .* holds string, must be list<.*string>"):
        read_policy_data(*files(joined))


def test_a_file_that_is_no_parquet_is_refused(files, tmp_path):
    _, target = files()
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(DataError, match="as Parquet"):
        read_policy_data(tmp_path / "notes.txt", target)


def test_a_cost_whose_square_is_no_number_is_none(files):
    data = read_policy_data(*files(put("cost_usd", 5, 1e300)), "cost_usd")
    assert data.usage.refused == {"a cost_usd that is none": 1}


def test_only_the_metric_asked_for_must_be_there(files):
    data = read_policy_data(*files(lambda log: log.pop("quality")), metric="cost_usd")
    assert data.reward.max() > 1


def test_requests_whose_labels_are_still_to_come_are_left_out_and_told(files):
    def date(log):
        log["received_at"] = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=i) for i in range(300)]
        log["quality"] = [value if i < 280 else None for i, value in enumerate(log["quality"])]

    data = read_policy_data(*files(date))
    assert data.usage.used == 280
    assert data.usage.waiting == {"newer than any that has a quality": 20}
    assert data.usage.warning() == "left out: newer than any that has a quality: 20"
    assert data.usage.refused_share == 0
    np.testing.assert_allclose(np.diff(data.received_at), 3600)


def test_a_request_that_lists_no_candidates_may_have_had_all(files):
    data = read_policy_data(*files(put("candidates", 4, None)))
    assert data.usage.used == 300
    assert data.candidates[4].all()


def test_requests_from_a_clock_that_is_ahead_are_told_and_keep_no_label_from_being_waited_for(files):
    def date(log):
        times = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=i) for i in range(300)]
        log["received_at"] = [time.replace(year=2031) if i % 7 == 0 else time for i, time in enumerate(times)]
        log["quality"] = [value if i < 280 else None for i, value in enumerate(log["quality"])]

    data = read_policy_data(*files(date), now=datetime(2026, 2, 1, tzinfo=UTC))
    n_too_new = sum(i % 7 != 0 for i in range(280, 300))
    assert data.usage.waiting == {"newer than any that has a quality": n_too_new}
    (note,) = data.usage.notes
    assert note.startswith("received in the future by this machine's clock")
    assert data.usage.notes[note] == sum(i % 7 == 0 for i in range(300))
    assert data.received_at.max() < datetime(2026, 2, 1, tzinfo=UTC).timestamp()


def test_a_target_model_that_was_no_candidate_of_this_request_is_no_unknown_one(files):
    def narrow(log):
        other = next(i for i, name in enumerate(log["chosen_model"]) if name != "large")
        log["candidates"] = [names if i != other else ["medium", "small"] for i, names in enumerate(log["candidates"])]

    assert read_policy_data(*files(narrow)).usage.refused == {"a target that chooses a model that was no candidate": 1}
