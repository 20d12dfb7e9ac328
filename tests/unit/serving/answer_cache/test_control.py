"""What clients may ask of the cache, and how it is read."""

import pytest

from beast_ml.serving.answer_cache.control import CacheControl, cache_control


@pytest.mark.parametrize(
    ("values", "meant"),
    [
        ([], CacheControl()),
        ([b""], CacheControl()),
        ([b"no-cache"], CacheControl(no_cache=True)),
        ([b" No-Store ,no-transform"], CacheControl(no_store=True)),
        ([b"no-cache", b"no-store"], CacheControl(no_cache=True, no_store=True)),
        ([b"max-age=0"], CacheControl(no_cache=True, max_age_s=0.0)),
        ([b'max-age="30"'], CacheControl(max_age_s=30.0)),
        ([b"max-age=90, max-age=30"], CacheControl(max_age_s=30.0)),
        ([b"max-age=soon"], CacheControl(no_cache=True, max_age_s=0.0)),
        ([b"no-cacheable"], CacheControl()),
    ],
)
def test_directives(values, meant):
    headers = [(b"accept", b"no-cache"), *((b"cache-control", value) for value in values)]
    assert cache_control(headers) == meant
