import pytest

from beast_ml.cli.known_exploration import known_exploration
from beast_ml.errors import InputError
from beast_ml.policy.exploration import Exploration
from beast_ml.settings import load_settings


def test_nothing_is_explored_unless_it_is_asked_for(tmp_path):
    settings = load_settings(tmp_path)
    assert known_exploration(settings) is None
    assert known_exploration(settings, 0.0) is None
    assert known_exploration(settings, 0.003) == Exploration(0.003)


def test_the_settings_bound_it_and_a_command_overrides_the_loss(tmp_path):
    (tmp_path / "mlflow.yaml").write_text("exploration: {max_loss: 0.002, max_extra_cost_usd: 0.0005, max_rate: 0.1}")
    settings = load_settings(tmp_path)
    assert known_exploration(settings) == Exploration(0.002, 0.0005, 0.1)
    assert known_exploration(settings, 0.01) == Exploration(0.01, 0.0005, 0.1)
    assert known_exploration(settings, 0.0) is None
    with pytest.raises(InputError, match="`max_loss` == 3"):
        known_exploration(settings, 3.0)
