import subprocess
import sys

import pytest

from beast_ml.errors import (
    BeastError,
    BundleIntegrityError,
    InputError,
    RegistryError,
    RegistryUnavailableError,
)
from beast_ml.registry import resolve_child
from beast_ml.registry.config import TrackingConfig
from beast_ml.registry.resolve_child import EXIT_CODES, resolve_bundle_in_child, resolve_in_child

URI = "models:/beast-router@champion"


@pytest.fixture
def child_that(monkeypatch, tmp_path):
    """Let another program stand in for the child process."""

    def behaves(code):
        program = tmp_path / "child"
        program.write_text(f"#!{sys.executable}\n{code}\n")
        program.chmod(0o755)
        monkeypatch.setattr(resolve_child.sys, "executable", str(program))

    return behaves


def test_a_malformed_address_starts_no_child(child_that, tmp_path):
    child_that("raise SystemExit('was started')")
    with pytest.raises(InputError, match="is no address"):
        resolve_in_child("champion", TrackingConfig(), tmp_path)


def test_the_folder_the_child_prints_is_returned(child_that, tmp_path):
    child_that("""print("noise of a library"); print('{"path": "/bundles/abc", "version": 3, "digest": "abc"}')""")
    assert str(resolve_in_child(URI, TrackingConfig(), tmp_path)) == "/bundles/abc"


STORE = TrackingConfig("https://ann:hunter2@mlflow.example")


def test_the_password_of_a_store_is_no_argument(child_that, tmp_path):
    child_that(
        "import json, os, pathlib, sys; seen = pathlib.Path('/proc/self/cmdline').read_bytes().decode()\n"
        "print(json.dumps({'path': seen, 'version': 1, 'digest': os.environ['MLFLOW_TRACKING_URI']}))"
    )
    found = resolve_bundle_in_child(URI, STORE, tmp_path)
    assert URI in str(found.path)  # its arguments
    assert "hunter2" not in str(found.path)
    assert found.digest == STORE.uri  # its environment


def test_the_password_of_a_store_is_in_no_message(child_that, tmp_path):
    child_that("import time; time.sleep(60)")
    with pytest.raises(RegistryUnavailableError, match=r"at https://mlflow\.example took longer"):
        resolve_in_child(URI, STORE, tmp_path, timeout_s=0.1)


@pytest.mark.parametrize(("code", "kind"), EXIT_CODES.items())
def test_errors_come_back_as_they_were(child_that, tmp_path, code, kind):
    child_that(f"""print('{{"error": "x", "message": "said so"}}'); raise SystemExit({code})""")
    with pytest.raises(BeastError, match=r"^said so$") as caught:
        resolve_in_child(URI, TrackingConfig(), tmp_path)
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("raise MemoryError('out of memory')", "out of memory"),
        ("import os; os.kill(os.getpid(), 9)", "code -9"),
        ("pass", "it printed nothing"),
        ("print('[]')", "code 0"),
    ],
)
def test_a_child_that_breaks_is_a_registry_error(child_that, tmp_path, code, said):
    child_that(code)
    with pytest.raises(RegistryError, match=said):
        resolve_in_child(URI, TrackingConfig(), tmp_path)


def test_a_child_that_hangs_is_ended(child_that, tmp_path):
    child_that("import time; time.sleep(60)")
    with pytest.raises(RegistryUnavailableError, match=r"longer than 0\.5 s"):
        resolve_in_child(URI, TrackingConfig(), tmp_path, timeout_s=0.5)


def test_the_first_fitting_exit_code_is_the_most_precise():
    def code_of(error):
        return next(code for code, kind in EXIT_CODES.items() if isinstance(error, kind))

    assert code_of(RegistryUnavailableError("x")) == 4
    assert code_of(RegistryError("x")) == 3
    assert code_of(BundleIntegrityError("x")) == 5
    assert code_of(InputError("x")) == 2
    assert code_of(BeastError("x")) == 1


def test_the_caller_never_imports_mlflow():
    code = (
        "import sys, beast_ml.registry.resolve_child;"
        "sys.exit(','.join({'mlflow', 'pandas', 'torch', 'sklearn'} & set(sys.modules)) or 0)"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (child.returncode, child.stderr) == (0, "")
