"""Rows of the log as the dashboard reads them."""

from datetime import UTC, datetime, timedelta

import pytest

from beast_ml.serving.dashboard.log_lines import FeedbackLine, OutcomeLine, RequestLine
from beast_ml.serving.dashboard.request_table import RequestTable

START = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


@pytest.fixture
def start():
    return START


@pytest.fixture
def line():
    """Return a function that makes a request, so many seconds after the start."""

    def make(i, after_s=0.0, **columns):
        told = {"tenant_id": "acme", "status": "ok", "chosen_model": "small", "served_model": "small", **columns}
        return RequestLine(request_id=f"r{i}", received_at=START + timedelta(seconds=after_s), **told)

    return make


@pytest.fixture
def outcome():
    def make(i, after_s=1.0, **columns):
        return OutcomeLine(request_id=f"r{i}", observed_at=START + timedelta(seconds=after_s), **columns)

    return make


@pytest.fixture
def feedback():
    def make(i, quality, after_s=1.0):
        return FeedbackLine(request_id=f"r{i}", feedback_at=START + timedelta(seconds=after_s), quality=quality)

    return make


@pytest.fixture
def table():
    return RequestTable(1000)
