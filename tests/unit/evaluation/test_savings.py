import numpy as np
import pytest

from beast_ml.evaluation.bootstrap import QueryBootstrap
from beast_ml.evaluation.routing_metrics import Scoreboard
from beast_ml.evaluation.savings import savings_at


def scoreboard(quality: list[list[float]], cost: list[list[float]], reference: int, n_resamples: int = 0) -> Scoreboard:
    bootstrap = QueryBootstrap.draw(np.random.default_rng(0), len(quality), n_resamples)
    return Scoreboard(np.array(quality), np.array(cost), reference, float("inf"), bootstrap)


CHEAP_DEAR = ([[0.0, 1.0], [1.0, 1.0]], [[1.0, 10.0], [1.0, 10.0]])
"""The cheap model is right on the second query alone; a clairvoyant router pays for the first one only."""


def test_the_saving_is_that_of_the_cheapest_mixture_that_keeps_the_quality() -> None:
    board = scoreboard(*CHEAP_DEAR, reference=1)
    clairvoyant = board.points(np.array([[0, 0], [1, 0]], dtype=np.int16))
    full, half = savings_at(board, clairvoyant, (1.0, 0.75))
    assert full.quality == 1.0
    assert full.saving.value == pytest.approx(1 - 5.5 / 10)
    # Between (1, 0.5) and (5.5, 1.0), quality 0.75 costs 3.25.
    assert half.saving.value == pytest.approx(1 - 3.25 / 10)


def test_mixing_single_models_saves_only_what_quality_is_given_up() -> None:
    board = scoreboard(*CHEAP_DEAR, reference=1)
    full, less, least = savings_at(board, board.singles, (1.0, 0.75, 0.1))
    assert full.saving.value == 0.0
    assert less.saving.value == pytest.approx(1 - 5.5 / 10)
    assert least.saving.value == pytest.approx(0.9)


def test_a_curve_that_never_gets_there_saves_nothing() -> None:
    board = scoreboard(*CHEAP_DEAR, reference=1)
    always_cheap = board.points(np.zeros((1, 2), dtype=np.int16))
    assert [each.saving.value for each in savings_at(board, always_cheap)] == [0.0, 0.0, 0.0]


def test_a_free_reference_has_no_saving() -> None:
    board = scoreboard([[0.0, 1.0]], [[1.0, 0.0]], reference=1)
    assert savings_at(board, board.singles)[0].saving.value is None


def test_giving_up_more_quality_never_saves_less_and_the_interval_holds_the_value() -> None:
    rng = np.random.default_rng(1)
    quality = (rng.random((200, 3)) < [0.4, 0.7, 0.9]).astype(float)
    cost = rng.uniform(0.5, 1.5, (200, 3)) * [1.0, 5.0, 20.0]
    bootstrap = QueryBootstrap.draw(rng, 200, 200)
    board = Scoreboard(quality, cost, 2, float("inf"), bootstrap)
    found = savings_at(board, board.oracle, (1.0, 0.99, 0.95, 0.5))
    values = [each.saving.value for each in found]
    assert values == sorted(values)
    for each in found:
        assert each.saving.low <= each.saving.value <= each.saving.high
