import json
import logging

import pytest

from beast_ml.events import events, show_events


@pytest.fixture
def quiet_again():
    logger = logging.getLogger("beast_ml")
    before = logger.handlers, logger.level, logger.propagate
    yield
    logger.handlers, logger.propagate = before[0], before[2]
    logger.setLevel(before[1])


def test_the_library_is_silent_by_default(capsys):
    events.info("router.loaded", kind="router")
    assert capsys.readouterr() == ("", "")


def test_shown_events_are_json_lines_on_standard_error(capsys, quiet_again):
    show_events()
    events.info("promotion.passed", version=3)
    out, err = capsys.readouterr()
    event = json.loads(err)
    assert out == ""
    assert (event["event"], event["version"], event["level"]) == ("promotion.passed", 3, "info")
