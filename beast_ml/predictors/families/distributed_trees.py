"""One ensemble of boosted trees grown by several machines together (`lightgbm.dask`), for rows that fit on none.

Each worker holds some of the rows, and the histograms of all are added up before a tree splits. What comes back is a
booster like any other. Sums are added in another order than on one machine, and bins are found by samples of each
worker's rows, so the ensemble is close to a local one, not the same.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from beast_ml.errors import ClusterError, MissingExtraError
from beast_ml.predictors.contract import Floats, Rows

if TYPE_CHECKING:
    from beast_ml.executors.dask import DaskExecutor

__all__ = ["grow_distributed"]

P = TypeVar("P")


def grow_distributed(
    executor: DaskExecutor, read: Callable[[P], tuple[Rows, Floats]], parts: Sequence[P], parameters: Mapping[str, Any]
) -> Any:
    """Return a `lightgbm.Booster` of all rows of all parts; none of them passes through this process.

    Parameters
    ----------
    executor
        On whose workers it is grown.
    read
        Gives the (n, d) features and (n,) targets of a part, on the worker that will hold them: a function of a module.
    parts
        What ``read`` is given, such as files of features; at least one a worker.
    parameters
        Of LightGBM, such as `beast_ml.predictors.families.trees.tree_parameters`.

    Raises
    ------
    MissingExtraError
        If LightGBM or Dask's arrays are not installed.
    ClusterError
        If a worker dies, refuses, or runs other releases: a tree is grown by all of them or not at all.
    """
    try:
        import dask.array as da
        from dask import delayed
        from lightgbm import DaskLGBMRegressor
    except ImportError as error:
        raise MissingExtraError("trees grown by several machines", "dask") from error
    executor.check_workers()
    client = executor.client
    held = client.map(read, parts, pure=False)
    shapes = client.gather(client.map(_shape, held))
    sized = list(zip(map(delayed, held), shapes, strict=True))
    rows = da.concatenate([da.from_delayed(part[0], shape, "f4") for part, shape in sized])
    targets = da.concatenate([da.from_delayed(part[1], shape[:1], "f8") for part, shape in sized])
    try:
        with client.as_current(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the parameters that Dask's workers say themselves
            model = DaskLGBMRegressor(client=client, **parameters).fit(rows, targets)
    except Exception as error:  # LightGBM's own, Dask's and the network's
        raise ClusterError(
            f"the trees were given up ({type(error).__name__}: {error}): all workers must live until they are grown"
        ) from error
    return model.booster_


def _shape(part: tuple[Rows, Floats]) -> tuple[int, int]:
    n, d = part[0].shape
    return n, d
