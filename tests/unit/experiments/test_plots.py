import pytest

from beast_ml.experiments.analysis import analyze
from beast_ml.experiments.plots import draw_experiment
from beast_ml.testing.experiments import observations


@pytest.mark.parametrize(
    "data",
    [
        observations(n=500, effects={"new": 0.5}),
        observations(n=600, effects={f"v{i}": 0.1 * i for i in range(11)}),
        observations(n=20),  # too few for any interval
    ],
)
def test_every_experiment_can_be_drawn(data, tmp_path):
    paths = draw_experiment(tmp_path / "out", analyze(data))
    assert [path.name for path in paths] == ["effects.png", "p_values.png", "forest.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)
