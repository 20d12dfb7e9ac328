from beast_ml.testing.cli_fixtures import beast, tiny_routers  # noqa: F401 - fixtures are used by name
from beast_ml.testing.router_fixtures import fitted, paying_policy, router_folder  # noqa: F401
