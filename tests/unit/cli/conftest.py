from beast_ml.testing.cli_fixtures import beast  # noqa: F401 - a fixture is used by name
