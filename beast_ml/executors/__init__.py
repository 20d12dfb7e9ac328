"""Where the parts of a job are worked on: in this process, or by the workers of a Dask cluster.

Library code is handed an `Executor` and says which function is to see which parts; command line and pipelines choose.
"""

from beast_ml.executors.contract import Executor, LocalExecutor

__all__ = ["Executor", "LocalExecutor"]
