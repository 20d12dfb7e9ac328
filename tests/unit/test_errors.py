import inspect
import re

import pytest

from beast_ml import errors
from beast_ml.errors import BeastError, MissingExtraError, PromotionRefusedError

LEAVES_AND_BUILTINS = {
    "InputError": ValueError,
    "UnknownModelError": LookupError,
    "MissingExtraError": ImportError,
    "DownloadError": ConnectionError,
    "RegistryUnavailableError": ConnectionError,
    "ClusterError": ConnectionError,
}


def test_every_error_is_exported_and_descends_from_the_root():
    classes = {name for name, value in vars(errors).items() if inspect.isclass(value) and issubclass(value, Exception)}
    assert classes == set(errors.__all__)
    assert all(issubclass(getattr(errors, name), BeastError) for name in classes)


def test_the_tree_in_the_docstring_is_the_tree():
    drawn = dict(re.findall(r"── (\w+)(?: \((\w+)\))?", errors.__doc__))
    assert set(drawn) == set(errors.__all__) - {"BeastError"}
    assert {name: builtin for name, builtin in drawn.items() if builtin} == {
        name: builtin.__name__ for name, builtin in LEAVES_AND_BUILTINS.items()
    }


@pytest.mark.parametrize(("name", "builtin"), LEAVES_AND_BUILTINS.items())
def test_errors_are_also_the_builtins_that_callers_catch(name, builtin):
    assert issubclass(getattr(errors, name), builtin)


def test_a_missing_extra_says_what_to_install():
    error = MissingExtraError("drawing plots", "train")
    assert error.extra == "train"
    assert str(error) == 'drawing plots needs the "train" extra: pip install "beast-ml[train]"'


def test_a_refused_promotion_keeps_its_evidence():
    error = PromotionRefusedError("the quality gate did not pass", {"quality_gain": -0.2})
    assert error.details == {"quality_gain": -0.2}
    assert str(error) == "the quality gate did not pass"
