"""Curves of a set's routers, as plain values that a report keeps and a picture draws."""

from __future__ import annotations

from typing import Final

import msgspec

from beast_ml.benchmarks.scored_set import ScoredSet
from beast_ml.policy.frontier import Frontier

__all__ = ["Curve", "Picture", "draw_curves"]

_SHOWN: Final = ("beast", "knn", "best_per_task")


class Curve(msgspec.Struct, frozen=True):
    """Vertices of a line: mean costs and mean qualities.

    Parameters
    ----------
    cost, quality
        One entry a vertex, from cheap to dear.
    """

    cost: tuple[float, ...]
    quality: tuple[float, ...]


class Picture(msgspec.Struct, frozen=True):
    """What there is to draw of a set, of its first seed.

    Parameters
    ----------
    singles
        The single models.
    curves
        Router -> its frontier; the zero router and the oracle too.
    operating
        Target -> where ``beast`` stands when held to that percentage of the best single model's quality.
    """

    singles: Curve
    curves: dict[str, Curve]
    operating: dict[str, tuple[float, float]]


def draw_curves(scored: ScoredSet) -> Picture:
    """Return the curves of a set."""
    board, seed = scored.board, scored.seeds[0]
    curves = {
        router.name: _curve(board.frontier(scored.points(router))) for router in seed.routers if router.name in _SHOWN
    }
    curves["zero_router"], curves["oracle"] = (
        _curve(board.frontier(board.singles)),
        _curve(board.frontier(board.oracle)),
    )
    operating = {}
    for target, chosen in seed.routers[0].operating.items():
        points = board.points(chosen[None, scored.scored])
        operating[target] = float(points.cost[0, 0]), float(points.quality[0, 0])
    singles = Curve(tuple(board.singles.cost[0].tolist()), tuple(board.singles.quality[0].tolist()))
    return Picture(singles, curves, operating)


def _curve(frontier: Frontier) -> Curve:
    return Curve(tuple(frontier.cost.tolist()), tuple(frontier.quality.tolist()))
