from beast_ml.testing.registry_fixtures import (  # noqa: F401 - fixtures are used by name
    config,
    flip,
    make_bundle,
    migrated_store,
    register,
    small_bundle,
)
