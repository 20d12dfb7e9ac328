"""One thread a test process, and the dearest files first."""

import os

import pytest

# Read by OpenMP when torch or numpy is first imported, so before anything else: the networks here are too small for
# two threads, and waiting for a second one costs more.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A minute and more each, the longest first, so that no process begins one when the others have nothing left to do.
DEAREST = (
    "test_notebooks.py",
    "test_partial_feedback.py",
    "test_zero_overruns_under_kills.py",
    "test_first_hour.py",
    "test_killed_logging.py",
    "test_killed_learning_loop.py",
    "test_log_training.py",
    "test_hot_swap.py",
    "test_fuzzing.py",
    "test_real_outcomes.py",
    "test_learning_loop.py",
    "test_replay_part.py",
    "test_train_and_register.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the dearest files first, then the others that have slow tests; xdist hands out files in this order."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}

    def rank(item: pytest.Item) -> tuple[int, bool]:
        dear = DEAREST.index(item.path.name) if item.path.name in DEAREST else len(DEAREST)
        return dear, item.path not in slow

    items.sort(key=rank)
