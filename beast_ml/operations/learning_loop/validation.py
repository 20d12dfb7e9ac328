"""Whether what was collected may be learnt from."""

from __future__ import annotations

from beast_ml.operations.learning_loop.config import LoopConfig
from beast_ml.operations.learning_loop.surroundings import Collected

__all__ = ["find_problems"]


def find_problems(found: Collected, config: LoopConfig) -> list[str]:
    """Return why it may not, in words; nothing where it may.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> find_problems(Collected(datetime(2026, 1, 1, tzinfo=UTC), 4_000, 2_000, n_in_future=400), LoopConfig())
    ['400 of 4,000 requests were received in the future: set the clocks']
    """
    n = found.n_requests
    if n == 0:
        return ["there are no requests"]
    problems = []
    if found.n_labelled == 0:
        problems.append("no request has a quality label: send feedback to the log")
    checks = (
        (found.n_in_future, "were received in the future: set the clocks"),
        (found.n_told_before, "were labelled before they were received: set the clocks"),
        (
            found.n_without_propensity,
            "have a choice without a propensity in (0, 1]: log the probability of each choice",
        ),
    )
    for count, words in checks:
        if count > config.max_bad_share * n:
            problems.append(f"{count:,} of {n:,} requests {words}")
    if found.n_broken > config.max_bad_share * (n + found.n_broken):
        problems.append(f"{found.n_broken:,} rows lie in quarantine beside {n:,} requests: `beast logs check` says why")
    return problems
