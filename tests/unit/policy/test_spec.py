import msgspec
import pytest

from beast_ml.domain import Objective
from beast_ml.errors import InputError
from beast_ml.policy.spec import PolicySpec


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan"), 1e-7])
def test_the_exploration_rate_is_a_share(rate):
    with pytest.raises(InputError, match=r"`exploration_rate` == .*, must be 0, or in 1e-06\.\.1"):
        PolicySpec("router", "m", Objective(1.0), exploration_rate=rate)


def test_a_policy_survives_json():
    policy = PolicySpec("router", "m", Objective(0.1, 0.2, 0.3, 0.4, 0.5), "latency_s", 0.25)
    assert msgspec.json.decode(msgspec.json.encode(policy), type=PolicySpec) == policy


@pytest.mark.parametrize(
    "text",
    [
        b'{"kind":"oracle","model":"m","objective":{"willingness_to_pay":1}}',
        b'{"kind":"router","model":"m","objective":{"willingness_to_pay":1},"cost":"euros"}',
        b'{"kind":"router","model":"m","objective":{"willingness_to_pay":1},"exploration_rate":2}',
        b'{"kind":"router","model":"m","objective":{"willingness_to_pay":-1}}',
        b'{"kind":"router","model":"m","objective":{"willingness_to_pay":1},"surprise":1}',
    ],
)
def test_a_file_with_anything_else_is_refused(text):
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(text, type=PolicySpec)
