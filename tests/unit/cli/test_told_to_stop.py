import signal

import pytest

from beast_ml.cli.told_to_stop import stopped_like_ctrl_c


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGHUP])
def test_being_told_to_stop_is_like_ctrl_c_within_the_block_and_as_before_after_it(kind):
    before = signal.signal(kind, signal.SIG_DFL)  # whatever the tests are run under
    try:
        with pytest.raises(KeyboardInterrupt), stopped_like_ctrl_c():
            signal.raise_signal(kind)
        assert signal.getsignal(kind) == signal.SIG_DFL
    finally:
        signal.signal(kind, before)


def test_what_nohup_has_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stopped_like_ctrl_c():
            signal.raise_signal(signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
