from beast_ml.testing.cli_fixtures import beast  # noqa: F401 - a fixture is used by name
from beast_ml.testing.registry_fixtures import (  # noqa: F401 - fixtures are used by name
    config,
    make_bundle,
    migrated_store,
    register,
    small_bundle,
)
