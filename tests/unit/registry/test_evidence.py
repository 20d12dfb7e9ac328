import json
import math

import pytest

from beast_ml.errors import InputError
from beast_ml.registry.evidence import Evidence, Interval
from beast_ml.testing.registry import make_evidence


def test_json_round_trips():
    evidence = make_evidence(cost_saving=None, cost_coverage=None)
    assert Evidence.from_json(evidence.to_json()) == evidence
    assert json.loads(evidence.to_json())["best_single_model"] == "large"


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"source": "hearsay"}', make_evidence().to_json()[:-1] + ',"x":1}'])
def test_what_is_no_evidence_is_refused(text):
    with pytest.raises(InputError, match="cannot read the evidence"):
        Evidence.from_json(text)


def test_evidence_out_of_range_is_refused_when_read():
    text = make_evidence().to_json().replace('"router_quality":0.81', '"router_quality":1.81')
    with pytest.raises(InputError, match="router_quality"):
        Evidence.from_json(text)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("router_quality", 1.1),
        ("quality_ece", math.nan),
        ("cost_coverage", -0.1),
        ("router_cost", math.inf),
        ("best_single_cost", -1.0),
        ("n_test_queries", -1),
    ],
)
def test_figures_out_of_range_are_named(field, value):
    with pytest.raises(InputError, match=field):
        make_evidence(**{field: value})


@pytest.mark.parametrize("bounds", [(0.0, 0.1, -0.1), (math.nan, 0.0, 1.0), (0.0, -math.inf, 1.0)])
def test_interval_must_be_finite_and_ordered(bounds):
    with pytest.raises(InputError, match="finite with low <= high"):
        Interval(*bounds)


def test_metrics_hold_bounds_and_leave_out_what_was_not_measured():
    metrics = make_evidence().metrics()
    assert metrics["evidence/quality_gain_low"] == -0.002
    assert metrics["evidence/cost_saving_high"] == 0.55
    without_cost = make_evidence(router_cost=None, best_single_cost=None, cost_saving=None, cost_coverage=None)
    assert not [name for name in without_cost.metrics() if "cost" in name]


def test_rows_name_the_reference_and_the_unit():
    rows = dict(make_evidence(cost_unit="s").rows())
    assert rows["best single model, large"] == "quality 0.8000, cost 0.002 s a query"
    assert rows["quality gain over large"] == "+0.0100 [-0.0020, +0.0220]"
    assert rows["cost saving against large"] == "+50.0% [+45.0%, +55.0%]"
    from_log = make_evidence(source="log", reference="logging_policy", cost_saving=None, cost_coverage=None)
    assert "quality gain over the logging policy" in dict(from_log.rows())
    assert len(from_log.rows()) == len(rows) - 2
