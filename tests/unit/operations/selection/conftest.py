from beast_ml.testing.registry_fixtures import small_bundle  # noqa: F401 - a fixture is used by name
