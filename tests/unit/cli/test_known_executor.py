import argparse
import sys

import pytest

from beast_ml.cli.known_executor import add_executor_options, opened_executor
from beast_ml.errors import ClusterError, InputError, MissingExtraError
from beast_ml.executors import LocalExecutor


def test_by_default_everything_is_done_here():
    parser = argparse.ArgumentParser()
    add_executor_options(parser)
    options = parser.parse_args([])
    with opened_executor(options.executor, options.scheduler) as executor:
        assert isinstance(executor, LocalExecutor)


@pytest.mark.parametrize(
    ("name", "scheduler", "said"),
    [
        ("dask", None, "--executor dask needs --scheduler tcp://"),
        ("local", "tcp://a:1", "--scheduler tcp://a:1 is for --executor dask"),
        ("spark", None, "`--executor` == 'spark'|--executor"),
        ("dask", "10.0.0.1:8786", "must be like tcp://HOST:8786"),
        ("dask", "tcp://10.0.0.1", "must be like tcp://HOST:8786"),
    ],
)
def test_what_does_not_go_together_is_refused(name, scheduler, said):
    with pytest.raises(InputError, match=said), opened_executor(name, scheduler):
        pass


def test_a_scheduler_that_nobody_is_at_is_one_sentence():
    with pytest.raises(ClusterError, match="no Dask scheduler answers"), opened_executor("dask", "tcp://127.0.0.1:1"):
        pass


def test_without_dask_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with (
        pytest.raises(MissingExtraError, match=r"pip install \"beast-ml\[dask\]\""),
        opened_executor("dask", "tcp://127.0.0.1:1"),
    ):
        pass
