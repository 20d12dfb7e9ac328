from beast_ml.testing.gateway_fixtures import gateway_config, provider, serve  # noqa: F401 - fixtures are used by name
from beast_ml.testing.router_fixtures import fitted, paying_policy, router_folder  # noqa: F401 - likewise
