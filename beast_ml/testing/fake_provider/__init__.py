"""A provider that is a real local server: OpenAI-compatible, replays recorded outcomes, fails when told to.

In the tests' process it is a thread (`FakeProvider`), for load runs a process (`FakeProviderProcess`, or
``python -m beast_ml.testing.fake_provider --port 9000``).
"""

from beast_ml.testing.fake_provider.child import FakeProviderProcess
from beast_ml.testing.fake_provider.outcomes import FAULTS, Fault, Outage, Outcome, ProviderScript, recorded_outcomes
from beast_ml.testing.fake_provider.server import FakeProvider

__all__ = [
    "FAULTS",
    "FakeProvider",
    "FakeProviderProcess",
    "Fault",
    "Outage",
    "Outcome",
    "ProviderScript",
    "recorded_outcomes",
]
