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
