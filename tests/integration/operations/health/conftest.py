from beast_ml.testing.server_fixtures import valkey_url  # noqa: F401 - a fixture is used by name
