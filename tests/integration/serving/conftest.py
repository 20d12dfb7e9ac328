from beast_ml.testing.cache_fixtures import (  # noqa: F401 - fixtures are used by name
    cache_pairs,
    cache_questions,
    minilm_onnx,
    onnx_folder,
    verified_cache,
)
from beast_ml.testing.cli_fixtures import beast  # noqa: F401 - a fixture is used by name
from beast_ml.testing.gateway_fixtures import gateway_config, provider, serve  # noqa: F401 - fixtures are used by name
from beast_ml.testing.registry_fixtures import (  # noqa: F401 - fixtures are used by name
    config,
    flip,
    make_bundle,
    migrated_store,
    register,
    small_bundle,
)
from beast_ml.testing.router_fixtures import (  # noqa: F401 - fixtures are used by name
    distilled,
    fitted,
    loaded,
    paying_policy,
    router_folder,
    static_folder,
    training_set,
    world,
)
from beast_ml.testing.server_fixtures import (  # noqa: F401 - fixtures are used by name
    _postgres_server,
    postgres_url,
)
