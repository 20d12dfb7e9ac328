from beast_ml.testing.server_fixtures import (  # noqa: F401 - fixtures are used by name
    _postgres_server,
    postgres_url,
    valkey_url,
)
