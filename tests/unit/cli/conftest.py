from beast_ml.testing.cli_fixtures import beast, tiny_routers  # noqa: F401 - fixtures are used by name
from beast_ml.testing.registry_fixtures import migrated_store  # noqa: F401 - as above
