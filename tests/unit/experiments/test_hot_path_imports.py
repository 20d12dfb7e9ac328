"""What decides who is served by what, and what listens to people, starts with the standard library and msgspec."""

import json
import subprocess
import sys

import pytest

CODE = """
import sys
before = set(sys.modules)
import {module}, json
loaded = {{name.split('.')[0] for name in set(sys.modules) - before}} - sys.stdlib_module_names
print(json.dumps(sorted(loaded - {{'beast_ml', 'msgspec', 'typing_extensions'}})))
"""


@pytest.mark.parametrize(
    "module",
    [
        "beast_ml.experiments.assignment",
        "beast_ml.experiments.definitions",
        "beast_ml.operations.explicit_feedback",
        "beast_ml.operations.implicit_feedback",
    ],
)
def test_the_hot_path_imports_no_more_than_it_must(module):
    command = [sys.executable, "-c", CODE.format(module=module)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert json.loads(printed) == []
