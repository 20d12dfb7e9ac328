from beast_ml.testing.router_fixtures import distilled  # noqa: F401 - a fixture, used by name
