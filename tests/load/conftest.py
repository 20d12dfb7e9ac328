from beast_ml.testing.router_fixtures import paying_policy, router_folder  # noqa: F401 - fixtures are used by name
