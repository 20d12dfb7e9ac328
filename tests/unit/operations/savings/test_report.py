"""The savings report on logs of a made-up world."""

from dataclasses import replace

import numpy as np
import pytest

from beast_ml.bundle.read import RouterBundle
from beast_ml.domain import Price
from beast_ml.errors import InputError, NotEnoughDataError, UnknownModelError
from beast_ml.features.hashing import HashingEncoder
from beast_ml.operations.savings.choices import list_switches
from beast_ml.operations.savings.decider import log_decider
from beast_ml.operations.savings.log import ended_as, read_savings_log, repriced
from beast_ml.operations.savings.plot import draw_savings
from beast_ml.operations.savings.report import SavingsReport, rank_switches, savings_report
from beast_ml.testing.exploring_logs import exploring_log
from beast_ml.testing.worlds import WORLD_PRICES

ENCODER = HashingEncoder()


@pytest.fixture(scope="module")
def logged():
    return exploring_log(requests=2500)


@pytest.fixture(scope="module")
def report(logged) -> SavingsReport:
    return savings_report(logged, ENCODER)


@pytest.fixture(scope="module")
def by_champion(logged, loaded: RouterBundle) -> SavingsReport:
    return savings_report(logged, ENCODER, bundle=loaded)


def test_switches_of_every_kind_are_ranked_and_the_first_is_checked_on_the_other_half(report) -> None:
    assert {each.switch.kind for each in report.ranked} == {"one model", "router", "floor", "without a model", "cache"}
    best = report.best
    assert best is not None
    assert best.checked is not None
    assert best.confirmed
    assert "not chosen on" in report.sentence()
    assert best.estimate.saving_low > 0
    assert best.estimate.quality_low >= -0.01
    lows = [each.estimate.saving_low for each in report.ranked if each.estimate.recommended]
    assert lows == sorted(lows, reverse=True)
    told = [each.estimate.trusted for each in report.ranked if not each.estimate.recommended]
    assert told == sorted(told, reverse=True)


def test_the_cheapest_model_alone_saves_most_and_is_not_recommended_as_it_loses_quality(report) -> None:
    small = next(each for each in report.ranked if each.switch.name == "always small")
    assert small.estimate.saving > 0.9
    assert small.estimate.quality_high < 0
    assert not small.estimate.recommended


def test_what_heavy_weights_make_of_a_switch_stays_within_what_is_possible() -> None:
    log = read_savings_log(exploring_log(0, 600), ENCODER, life_s=86_400.0)
    heavy = replace(log, quality=replace(log.quality, reward=40.0 * log.quality.reward))
    ranked = rank_switches(heavy, list_switches(heavy, log_decider(heavy), 86_400.0), n_resamples=50)
    for found in (each.estimate for each in ranked):
        assert np.all(np.abs([found.quality, found.quality_low, found.quality_high]) <= 1.0)
        assert max(found.saving, found.saving_low, found.saving_high) <= 1.0
    assert any(each.estimate.quality_low == -1.0 for each in ranked)


def test_a_month_is_the_log_s_traffic_for_thirty_days(report, logged) -> None:
    spent = np.nansum(logged.matrix.cost_usd)
    assert report.spent_usd == pytest.approx(spent / report.days * 30)
    plain = report.to_dict()
    assert plain["switches"][0]["saving_usd_per_month"] == pytest.approx(
        report.spent_usd * report.ranked[0].estimate.saving
    )


def test_the_champion_is_judged_with_other_willingness_floors_and_soft_limits(by_champion) -> None:
    kinds = {each.switch.kind for each in by_champion.ranked}
    assert {"router", "willingness", "soft limit", "one model"} <= kinds
    for each in by_champion.ranked:
        served = each.switch.kind in ("router", "willingness", "floor", "one model")
        assert (each.switch.policy is not None) == served
    limits = [each for each in by_champion.ranked if each.switch.kind == "soft limit"]
    assert all("limit_usd" in each.switch.how for each in limits)


def test_a_price_change_decides_anew_and_reckons_everything_at_the_new_prices(logged, loaded, report) -> None:
    price = WORLD_PRICES["large"]
    dearer = {"large": Price(price.input_usd_per_mtok * 10, price.output_usd_per_mtok * 10)}
    found = savings_report(logged, ENCODER, bundle=loaded, prices=dearer)
    assert found.price_change is not None
    assert found.price_change > 3
    assert found.spent_usd > 3 * report.spent_usd
    anew = next(each for each in found.ranked if each.switch.kind == "price")
    stays = next(each for each in found.ranked if "old prices" in each.switch.name)
    assert anew.estimate.saving > stays.estimate.saving


def test_prices_of_unknown_models_and_without_tokens_are_refused(logged) -> None:
    with pytest.raises(UnknownModelError, match="large, medium, small"):
        repriced(logged, {"huge": Price(1.0, 1.0)})
    silent = replace(logged, matrix=replace(logged.matrix, input_tokens=np.full_like(logged.matrix.quality, np.nan)))
    with pytest.raises(InputError, match="no tokens of 'large'"):
        repriced(silent, {"large": Price(1.0, 1.0)})


def test_a_log_without_propensities_says_that_they_are_estimated(logged) -> None:
    found = savings_report(replace(logged, propensity=np.full(len(logged.propensity), np.nan)), ENCODER)
    assert any("no propensity" in note for note in found.notes)
    assert found.ranked


def test_few_labels_count_by_how_likely_they_were() -> None:
    found = savings_report(exploring_log(requests=2500, label_share=0.5), ENCODER)
    assert any("have a label" in note for note in found.notes)
    full = next(each for each in found.ranked if each.switch.name == "always large")
    assert full.estimate.quality_low < full.estimate.quality < full.estimate.quality_high


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (
            lambda log: replace(log, matrix=replace(log.matrix, quality=np.full_like(log.matrix.quality, np.nan))),
            "label",
        ),
        (
            lambda log: replace(log, matrix=replace(log.matrix, cost_usd=np.full_like(log.matrix.quality, np.nan))),
            "cost",
        ),
        (lambda log: log.pool(["large"]), "one model"),
        (lambda log: log.rows(np.arange(len(log.chosen)) < 10), "label|questions"),
    ],
)
def test_what_says_nothing_is_refused_with_the_way_out(logged, change, match) -> None:
    with pytest.raises(NotEnoughDataError, match=match):
        savings_report(change(logged), ENCODER)


def test_a_short_log_cannot_tell_and_says_what_would() -> None:
    found = savings_report(exploring_log(requests=60, epsilon=0.1), ENCODER)
    assert found.best is None
    assert "cannot tell" in found.sentence()
    with pytest.raises(InputError, match="no switch 99"):
        found.number(99)


def test_unanswered_requests_are_worth_nothing_and_given_up_ones_tell_nothing() -> None:
    logged = exploring_log(requests=800, failure_rate=0.2)
    quality, cost, answered = ended_as(logged)
    nobody = logged.served < 0
    assert nobody.any()
    assert (quality[nobody] == 0).all()
    assert (cost[nobody] == 0).all()
    assert not answered[nobody].any()
    gone = replace(logged, status=np.where(nobody, "cancelled", logged.status))
    assert np.isnan(ended_as(gone)[0][nobody]).all()
    log = read_savings_log(logged, ENCODER, life_s=3600.0)
    assert (log.labelled[nobody] == 1.0).all()


def test_the_picture_is_drawn(report, tmp_path) -> None:
    draw_savings(tmp_path / "s.png", report)
    assert (tmp_path / "s.png").stat().st_size > 20_000
