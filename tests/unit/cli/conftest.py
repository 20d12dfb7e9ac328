from beast_ml.testing.cli_fixtures import beast  # noqa: F401 - a fixture is used by name
from beast_ml.testing.registry_fixtures import migrated_store  # noqa: F401 - as above
