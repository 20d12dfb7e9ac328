import json
import logging

import pytest


@pytest.fixture
def said(caplog):
    """Return a function that returns the names of the warnings so far."""
    caplog.set_level(logging.WARNING, "beast_ml")
    return lambda: [json.loads(record.message)["event"] for record in caplog.records]
