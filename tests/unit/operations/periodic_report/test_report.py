import json
from dataclasses import replace
from datetime import datetime, timedelta
from types import SimpleNamespace

import numpy as np
import pytest

from beast_ml.experiments.definitions import Experiment, SharesSince, Variant
from beast_ml.features.hashing import HashingEncoder
from beast_ml.logs.store import LogStore
from beast_ml.operations.learning_loop.states import Finished, LoopState
from beast_ml.operations.periodic_report.document import Grid
from beast_ml.operations.periodic_report.files import write_report
from beast_ml.operations.periodic_report.parts import to_document
from beast_ml.operations.periodic_report.period import Period
from beast_ml.operations.periodic_report.plan import plan_of
from beast_ml.operations.periodic_report.recommendations import Recommendation, recommend
from beast_ml.operations.periodic_report.report import Sources, periodic_report
from beast_ml.operations.savings.report import savings_report
from beast_ml.registry.period_runs import RecordedRun
from beast_ml.testing.costly_logs import COSTLY_START, costly_log
from beast_ml.testing.exploring_logs import exploring_log
from beast_ml.testing.failing_logs import LOG_END, failing_log

WEEK = Period.ending("week", (COSTLY_START + timedelta(days=13)).date())
NEVER = COSTLY_START - timedelta(days=365)


def new_policy(row) -> None:
    if row["received_at"] >= WEEK.since + timedelta(days=2):
        row["policy_version"] = "v2"


def finished(at: datetime, verdict: str) -> Finished:
    return Finished(cycle=3, verdict=verdict, reason="the gates passed", champion=1, candidate=2, at=at)


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """A report of a week in which something of everything happened."""
    inside = WEEK.since + timedelta(days=1)
    variants = (Variant(name="control", policy="champion", share=0.5),)
    experiment = Experiment(
        id="cheaper",
        variants=variants,
        status="stopped",
        history=(
            SharesSince(at=inside, shares={"control": 0.5}),
            SharesSince(at=inside + timedelta(days=3), shares={}),
        ),
    )
    sources = Sources(
        costly_log(tmp_path_factory.mktemp("costly") / "logs", change=new_policy),
        experiments=(experiment,),
        loop=LoopState(entered_at=inside, finished=(finished(inside, "promoted"), finished(NEVER, "rejected"))),
        runs=[
            RecordedRun("1", "training of logs", inside, {"verdict": "passed"}),
            RecordedRun("2", "report of the week", inside, {"kind": "period-report"}),
        ],
        accounts=(),
    )
    return periodic_report(sources, WEEK)


def test_it_says_what_was_switched_and_what_was_learnt(full) -> None:
    decided = " ".join(map(str, full.decided))
    assert "a new policy decided: version v2" in decided
    assert "experiment cheaper began with control 50%" in decided
    assert "experiment cheaper stopped" in decided
    learnt = [str(event) for event in full.learnt]
    assert len(learnt) == 2  # neither the cycle of another year nor an earlier report
    assert "version 2 promoted: the gates passed" in learnt[0]
    assert learnt[1].endswith("training of logs: passed")


def test_its_files_say_the_same_and_are_whole(full, tmp_path) -> None:
    page, text, data = (path.read_text("utf-8") for path in write_report(full, tmp_path / "out"))
    told = json.loads(data)
    assert told["costs"]["spending"]["total"]["cost_nano"] == full.costs.spending.total["cost_nano"]
    for said in ("What changed", "What it cost", "What was learnt", "What broke, and why", "Plan for the next week"):
        assert said in page
        assert f"## {said}" in text
    assert page.count("data:image/png") == text.count("data:image/png") >= 3
    assert "beast report week" in page
    assert "Savings" in told["notes"][-1]


def test_an_empty_period_says_that_nothing_is_recorded(tmp_path) -> None:
    report = periodic_report(Sources(LogStore(tmp_path / "none")), WEEK)
    page, text, _ = (path.read_text("utf-8") for path in write_report(report, tmp_path / "out"))
    assert text.count("Nothing recorded") >= 5
    assert "Nothing recorded: no request was received from 2026-03-09 to 2026-03-15." in page
    assert "data:image" not in page
    assert report.metrics() == {"requests": 0.0}


def test_a_period_after_the_log_is_as_empty(tmp_path) -> None:
    later = Period.ending("month", WEEK.last + timedelta(days=90))
    report = periodic_report(Sources(costly_log(tmp_path / "logs")), later)
    assert (report.n_requests, report.errors, report.drift) == (0, None, None)


def test_incidents_come_with_their_cause_and_lead_the_recommendations(tmp_path) -> None:
    def refused(row, rng: np.random.Generator) -> None:
        if row["endpoint"] == "large-us" and row["received_at"] >= LOG_END - timedelta(hours=12):
            row |= {"status": "error", "error_kind": "auth", "served_model": None}

    store = failing_log(tmp_path / "logs", refused, n=1_500)
    report = periodic_report(Sources(store), Period.ending("week", (LOG_END - timedelta(days=1)).date()))
    assert "refuses the API key" in report.recommendations[0].what
    assert report.recommendations[0].what.startswith("Auth failures of large")
    assert report.plan[0][0] == "beast models health --since 7d"
    assert "failed calls a month fewer" in report.recommendations[0].gain
    assert any(
        said.startswith("Incident: auth failures of large") for said in to_document(report).sections[0].blocks[0].items
    )


def test_what_was_not_judged_is_not_said_to_be_worth_nothing(full) -> None:
    said = [block.text for block in to_document(replace(full, recommendations=())).sections[5].blocks]
    assert said == [
        "Nothing that was looked at is worth doing.",
        "What would save, and how good the choices were, is not judged: it was not asked for.",
    ]


def test_how_little_of_the_time_before_the_log_covers_is_said(tmp_path) -> None:
    month = Period(
        kind="month", first=COSTLY_START.date() + timedelta(days=3), last=COSTLY_START.date() + timedelta(32)
    )
    report = periodic_report(Sources(costly_log(tmp_path / "logs", 10, 10)), month)
    assert "The log begins on 2026-03-02: it covers 3 of the 28 days of the one before." in to_document(report).subtitle
    assert "log begins" not in to_document(replace(report, log_begins=NEVER.date())).subtitle


def test_the_plan_has_a_line_for_each_finding_and_open_question_and_none_beside_them(full, tmp_path) -> None:
    lines = dict(full.plan)
    assert "not judged here: it was not asked for" in lines["beast report savings --since 2026-03-09"]
    assert "answers cost" in lines["beast report costs --by model,tenant --since 2026-03-09"]
    assert list(lines)[-1] == "beast report week"
    assert not any("experiment" in line for line in lines)  # its only one is stopped
    assert "beast learn once" not in lines
    empty = periodic_report(Sources(LogStore(tmp_path / "none")), WEEK)
    (said, plan) = to_document(empty).sections[6].blocks
    assert said.text.startswith("Nothing was found")
    assert [line for line, _ in plan.lines] == ["beast report week"]
    month = Period(kind="month", first=WEEK.first, last=WEEK.last)
    drifted = Recommendation("quality of large fell", "train", "not known", by="drift")
    planned = dict(plan_of(month, (drifted,), None, empty.costs.spending, running=("cheaper",)))
    assert planned["beast learn once"].endswith("quality of large fell")
    assert "beast experiment analyze --experiment cheaper" in planned


def test_costs_that_nobody_knows_are_said_to_be_so(tmp_path) -> None:
    store = costly_log(tmp_path / "logs", 10, 10, change=lambda row: row.update(cost_usd=None))
    report = periodic_report(Sources(store), WEEK)
    assert "cost nobody knows" in report.costs.spending.sentence()
    tables = [block for block in to_document(report).sections[2].blocks if isinstance(block, Grid)]
    assert tables
    assert all(row[2:] == ("-", "-", "-") for table in tables for row in table.rows if row[0] != "no model")
    assert any("forecast" in note for note in report.notes)


def test_a_first_period_has_nothing_to_compare_with_and_says_so(tmp_path) -> None:
    first = Period.ending("week", (COSTLY_START + timedelta(days=6)).date())
    report = periodic_report(Sources(costly_log(tmp_path / "logs", 7, 10)), first)
    (said, *_) = to_document(report).sections[0].blocks[0].items
    assert said == "Nothing is recorded of the period before: there is nothing to compare with."


def test_the_numbers_in_the_picture_of_savings_are_explained(full) -> None:
    savings = savings_report(exploring_log(0, 600), HashingEncoder())
    blocks = to_document(replace(full, savings=savings)).sections[5].blocks
    (table,) = [block for block in blocks if isinstance(block, Grid)]
    named = [f"{i}. {each.switch.name}" for i, each in enumerate(savings.ranked, 1) if each.estimate.changed]
    assert [row[0] for row in table.rows] == named
    assert {row[-1] for row in table.rows} <= {"yes", "no", "the log cannot tell"}
    assert all((row[1:3] == ("-", "-")) == (row[-1] == "the log cannot tell") for row in table.rows)
    assert "the log cannot tell" in {row[-1] for row in table.rows}


def test_a_difference_that_rounds_to_nothing_is_not_negative(full) -> None:
    latency = next(each for each in full.changes if each.measure.name == "mean latency, s")
    change = replace(latency, now=3.6990, before=3.7000, low=-0.12, high=0.11)
    (row,) = to_document(replace(full, changes=(change,))).sections[1].blocks[0].rows
    assert row[3] == "+0.00 [-0.12, +0.11]"


def test_what_did_not_change_is_no_row_of_the_tables(full) -> None:
    latency, share = (
        next(e for e in full.changes if e.measure.name.startswith(n)) for n in ("mean lat", "share saved")
    )
    same = replace(share, now=0.0, before=0.0, low=0.0, high=0.0)
    table, said, *_ = to_document(replace(full, changes=(latency, same))).sections[1].blocks
    assert [row[0] for row in table.rows] == ["mean latency, s"]
    assert said.text == "Just as before: share saved by a fallback (0.00%)."
    savings = savings_report(exploring_log(0, 600), HashingEncoder())
    first = replace(savings.ranked[0], estimate=replace(savings.ranked[0].estimate, changed=0.0))
    idle = replace(savings, ranked=(first, *savings.ranked[1:]))
    blocks = to_document(replace(full, savings=idle)).sections[5].blocks
    (shown,) = [block for block in blocks if isinstance(block, Grid)]
    assert "that change nothing are left out" in shown.caption
    assert not any(row[0].startswith("1. ") for row in shown.rows)


@pytest.mark.parametrize(
    ("n", "said"), [(0.2, "not one"), (1.2, "up to 1 failed call a"), (7.0, "up to 7 failed calls a")]
)
def test_failures_that_hardly_ever_happen_promise_hardly_any_gain(n, said) -> None:
    pattern = SimpleNamespace(
        name="timeout failures of large", cause="It is slow.", next_step="Wait.", is_new=False, ended_at=None,
        is_refusal=False,
        rate=SimpleNamespace(n_failed=n),
    )  # fmt: skip
    month = Period(kind="month", first=WEEK.first, last=WEEK.first + timedelta(days=29))
    (found,) = recommend(month, SimpleNamespace(patterns=(pattern,)), None, None, None, None)
    assert found.gain.startswith(said)
