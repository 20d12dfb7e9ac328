from beast_ml.testing.registry_fixtures import (  # noqa: F401 - fixtures are used by name
    flip,
    make_bundle,
    small_bundle,
)
from beast_ml.testing.serving_fixtures import serving  # noqa: F401
