"""Boosted trees in plain numpy: every tree of every row goes down one level at a time, all of them together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["Forest"]

_ROWS_AT_ONCE: Final = 512


@dataclass(frozen=True)
class Forest:
    """The nodes of all trees, one tree after the other; a leaf is its own child.

    Parameters
    ----------
    roots
        (t,) where each tree begins.
    features
        (k,) column that a node looks at.
    thresholds
        (k,) values up to it go left.
    children
        (2, k) left and right.
    values
        (k,) what a leaf adds; 0 at other nodes.
    depth
        Of the deepest tree.
    """

    roots: NDArray[np.int32]
    features: NDArray[np.int16]
    thresholds: NDArray[np.float64]
    children: NDArray[np.int32]
    values: NDArray[np.float64]
    depth: int

    @classmethod
    def from_lightgbm(cls, dumps: list[Mapping[str, Any]]) -> Forest:
        """Return the forest of boosters (their ``dump_model()``), which is the mean of their raw scores."""
        nodes: list[tuple[int, float, int, int, float]] = []
        roots: list[int] = []

        def add(node: Mapping[str, Any], level: int) -> tuple[int, int]:
            place = len(nodes)
            if "leaf_value" in node:
                nodes.append((0, 0.0, place, place, float(node["leaf_value"]) / len(dumps)))
                return place, level
            nodes.append((0, 0.0, place, place, 0.0))
            left, deep_left = add(node["left_child"], level + 1)
            right, deep_right = add(node["right_child"], level + 1)
            nodes[place] = (int(node["split_feature"]), float(node["threshold"]), left, right, 0.0)
            return place, max(deep_left, deep_right)

        depth = 0
        for dump in dumps:
            for tree in dump["tree_info"]:
                root, deep = add(tree["tree_structure"], 0)
                roots.append(root)
                depth = max(depth, deep)
        features, thresholds, left, right, values = zip(*nodes, strict=True)
        return cls(
            roots=np.array(roots, dtype=np.int32),
            features=np.array(features, dtype=np.int16),
            thresholds=np.array(thresholds, dtype=np.float64),
            children=np.array([left, right], dtype=np.int32),
            values=np.array(values, dtype=np.float64),
            depth=depth,
        )

    def raw(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return (n,) sums over all trees for (n, d) features."""
        out = np.empty(len(rows))
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            part = rows[start : start + _ROWS_AT_ONCE].astype(np.float64)
            at = np.broadcast_to(self.roots, (len(part), len(self.roots)))
            row = np.arange(len(part))[:, None]
            for _ in range(self.depth):
                right = part[row, self.features[at]] > self.thresholds[at]
                at = self.children[right.astype(np.intp), at]
            out[start : start + len(part)] = self.values[at].sum(axis=1)
        return out

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what `from_arrays` takes."""
        return {
            "roots": self.roots,
            "features": self.features,
            "thresholds": self.thresholds,
            "children": self.children,
            "values": self.values,
            "depth": np.array(self.depth),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Forest:
        """Return the forest with these arrays."""
        return cls(
            roots=arrays["roots"],
            features=arrays["features"],
            thresholds=arrays["thresholds"],
            children=arrays["children"],
            values=arrays["values"],
            depth=int(arrays["depth"]),
        )
