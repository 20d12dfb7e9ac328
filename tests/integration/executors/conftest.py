from beast_ml.testing.registry_fixtures import migrated_store  # noqa: F401 - a fixture, used by name
from beast_ml.testing.router_fixtures import distilled  # noqa: F401 - a fixture, used by name
