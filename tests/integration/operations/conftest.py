from beast_ml.testing.registry_fixtures import config, migrated_store  # noqa: F401 - fixtures are used by name
