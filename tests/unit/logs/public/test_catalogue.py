import importlib
import re

import pytest

from beast_ml.errors import InputError
from beast_ml.logs.public.catalogue import CATALOGUE, find_set


def test_names_and_files_are_unique() -> None:
    assert len({public_set.name for public_set in CATALOGUE}) == len(CATALOGUE)
    for public_set in CATALOGUE:
        assert len({file.name for file in public_set.files}) == len(public_set.files)
        assert len({file.url for file in public_set.files}) == len(public_set.files)


def test_every_address_names_a_whole_commit_or_a_known_digest() -> None:
    pinned = re.compile(r"https://raw\.githubusercontent\.com/[^/]+/[^/]+/[0-9a-f]{40}/.+")
    for public_set in CATALOGUE:
        for file in public_set.files:
            assert pinned.fullmatch(file.url) or (file.url.startswith("package:") and file.sha256)


def test_a_set_has_a_converter_or_a_reason() -> None:
    for public_set in CATALOGUE:
        assert bool(public_set.files) != bool(public_set.not_pullable)
        assert public_set.caveats
        if public_set.files:
            module, _, function = public_set.converter.partition(":")
            assert callable(getattr(importlib.import_module(module), function))


def test_sets_without_a_licence_must_be_accepted() -> None:
    assert all(s.needs_acceptance == s.licence.startswith("none") for s in CATALOGUE)


def test_an_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(InputError, match="no public set is called 'mmlu'; there are quickstart-val, "):
        find_set("mmlu")
