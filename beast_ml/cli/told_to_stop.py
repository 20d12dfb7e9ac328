"""A command that starts servers ends them, whoever stops it: Ctrl+C, a supervisor, a closed window."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["stopped_like_ctrl_c"]

_ALSO = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


@contextmanager
def stopped_like_ctrl_c() -> Iterator[None]:
    """Have SIGTERM and SIGHUP raise KeyboardInterrupt within the block, so that what it started is stopped with it.

    One that is ignored, as nohup has SIGHUP, stays so.
    """
    heeded = [kind for kind in _ALSO if signal.getsignal(kind) is not signal.SIG_IGN]
    before = {kind: signal.signal(kind, signal.default_int_handler) for kind in heeded}
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
