import numpy as np
import pytest

from beast_ml.benchmarks.fold_results import Decided, FoldResult, gather, join, read_fold
from beast_ml.policy.utility import Predictions


def fold(queries: list[int], name: str = "beast") -> FoldResult:
    positions = np.array(queries)
    quality = positions[:, None] + np.array([0.25, 0.5])
    chosen = (positions % 2).astype(np.int16)
    router = Decided(name, Predictions(("a", "b"), quality, 2 * quality), {"100": chosen})
    return FoldResult(positions, 1, (router,), {name: 0.5})


def test_a_fold_is_read_as_it_was_written(tmp_path):
    fold([4, 2]).write(tmp_path / "deep" / "fold.npz")
    read = read_fold(tmp_path / "deep" / "fold.npz")
    assert read.queries.tolist() == [4, 2]
    assert (read.reference, read.seconds) == (1, {"beast": 0.5})
    (router,) = read.routers
    assert (router.name, router.predictions.models) == ("beast", ("a", "b"))
    assert router.predictions.cost.tolist() == [[8.5, 9.0], [4.5, 5.0]]
    assert router.operating["100"].tolist() == [0, 0]


def test_gathered_queries_are_in_order(outcomes):
    (router,) = gather([fold([3, 0]), fold([1, 2])], 4)
    assert router.predictions.quality[:, 0].tolist() == [0.25, 1.25, 2.25, 3.25]
    assert router.operating["100"].tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("queries", [[[0, 1], [1, 2]], [[0], [1]]])
def test_queries_tested_twice_or_never_are_refused(queries):
    with pytest.raises(ValueError, match="3 must be, once each"):
        gather([fold(one) for one in queries], 3)


def test_routers_of_the_same_fold_are_joined():
    joined = join([fold([1, 0], "beast"), fold([1, 0], "knn")])
    assert [router.name for router in joined.routers] == ["beast", "knn"]
    assert joined.seconds == {"beast": 0.5, "knn": 0.5}
