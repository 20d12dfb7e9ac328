import signal

import pytest

from beast_ml.cli.told_to_stop import stopped_like_ctrl_c


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGHUP])
def test_being_told_to_stop_is_like_ctrl_c_within_the_block_and_as_before_after_it(kind):
    before = signal.getsignal(kind)
    with pytest.raises(KeyboardInterrupt), stopped_like_ctrl_c():
        signal.raise_signal(kind)
    assert signal.getsignal(kind) == before
