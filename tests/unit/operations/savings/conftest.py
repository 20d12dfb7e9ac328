from beast_ml.testing.registry_fixtures import (  # noqa: F401 - fixtures are used by name
    config,
    make_bundle,
    migrated_store,
    register,
    small_bundle,
)
from beast_ml.testing.router_fixtures import loaded, paying_policy, router_folder  # noqa: F401 - used by name
