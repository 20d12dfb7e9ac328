from beast_ml.testing.cache_fixtures import (  # noqa: F401 - fixtures are used by name
    cache_pairs,
    cache_questions,
    minilm_onnx,
    onnx_folder,
    trained_cache,
    verified_cache,
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
