from hypothesis import HealthCheck, settings

from beast_ml.testing.region_machine import RegionMachine


class TestZeroOverrunsOverRegions(RegionMachine.TestCase):
    settings = settings(
        max_examples=15, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
