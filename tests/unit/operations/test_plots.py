import numpy as np
import pytest

from beast_ml.operations.plots import draw_calibration, draw_cost_accuracy, draw_learning_curves

PNG = b"\x89PNG\r\n\x1a\n"
MODELS = tuple(f"m{j}" for j in range(14))


@pytest.fixture
def values():
    rng = np.random.default_rng(0)
    predicted, realised = rng.random((60, 14)), rng.random((60, 14))
    realised[rng.random((60, 14)) < 0.3] = np.nan
    realised[5:, 1] = np.nan  # too few to be binned
    realised[:, 2] = 0.0  # free: no place on a log axis
    return predicted, realised


def test_plots_are_drawn_whatever_is_missing(tmp_path, values):
    draw_calibration(tmp_path / "calibration.png", MODELS, *values)
    draw_cost_accuracy(tmp_path / "cost.png", MODELS, *values, "USD")
    draw_learning_curves(tmp_path / "one.png", {"quality": ((0.7, 0.69),)})
    draw_learning_curves(
        tmp_path / "two.png", {"quality": ((0.7, 0.69), (0.6, 0.65)), "output_tokens": ((1, 1), (1, 1))}
    )
    images = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert len(images) == 4
    assert all(image.startswith(PNG) and len(image) > 5000 for image in images.values())
    assert images["one.png"] != images["two.png"]
