"""What is public, and what a process that only decides must never load."""

import json
import subprocess
import sys

import pytest

import beast_ml

HEAVY = (
    "duckdb",
    "faiss",
    "genai_prices",
    "lightgbm",
    "matplotlib",
    "mlflow",
    "onnx",
    "onnxruntime",
    "optuna",
    "pandas",
    "pandera",
    "pyarrow",
    "scipy",
    "sentence_transformers",
    "sklearn",
    "torch",
)


def loaded_after(code: str) -> set[str]:
    """Return the top-level modules of a fresh interpreter after some code."""
    report = "; import json, sys; print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    result = subprocess.run([sys.executable, "-c", code + report], capture_output=True, text=True, check=True)
    return set(json.loads(result.stdout.splitlines()[-1]))


@pytest.mark.parametrize("name", beast_ml.__all__)
def test_every_public_name_is_there(name):
    assert getattr(beast_ml, name) is getattr(beast_ml, name)


def test_the_public_names_are_exactly_all():
    public = set(beast_ml.__all__)
    assert set(beast_ml._HOMES) == public - {"__version__"}
    assert public <= set(dir(beast_ml))
    assert sorted(beast_ml.__all__) == beast_ml.__all__


def test_an_unknown_name_says_what_there_is():
    with pytest.raises(AttributeError, match=r"no attribute 'Ruoter'; it has BeastError, .*Router"):
        beast_ml.Ruoter  # noqa: B018


def test_importing_the_package_loads_nothing_that_is_not_in_the_standard_library():
    assert loaded_after("import beast_ml") <= loaded_after("import importlib, typing") | {"beast_ml"}


@pytest.mark.parametrize("bundle", ["router_folder", "static_folder"])
def test_routing_from_a_bundle_leaves_training_libraries_alone(bundle, request):
    folder = request.getfixturevalue(bundle)
    code = (
        "from pathlib import Path; from beast_ml.serving.router import Router; "
        f"router = Router.load(Path({str(folder)!r})); "
        "router.route('What is 2 + 2?', explain=True); router.route_batch(['a', 'b']); router.forecast('c')"
    )
    modules = loaded_after(code)
    assert modules.isdisjoint(HEAVY)
    assert {"numpy", "msgspec"} <= modules  # the check does look at what was loaded


LIGHT = (
    "beast_ml.cli.main",
    "beast_ml.bundle.parts",
    "beast_ml.registry.resolve_child",
    "beast_ml.cli.serving_process",
    "beast_ml.cache.neighbours.client",
    "beast_ml.cache.neighbours.command",
    "beast_ml.serving.app",
    "beast_ml.serving.dashboard.app",
    "beast_ml.serving.supervisor",
    "beast_ml.serving.gateway.worker_parts",
    "beast_ml.serving.answer_cache.open_cache",
    "beast_ml.serving.answer_cache.chat_cache",
)


@pytest.mark.parametrize("module", LIGHT)
def test_light_modules_stay_light(module):
    assert loaded_after(f"import {module}").isdisjoint(HEAVY)
