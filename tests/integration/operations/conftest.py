from beast_ml.testing.cli_fixtures import beast  # noqa: F401 - a fixture is used by name
from beast_ml.testing.registry_fixtures import config, migrated_store  # noqa: F401 - fixtures are used by name
