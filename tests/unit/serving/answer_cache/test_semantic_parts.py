import asyncio
import threading
from pathlib import Path

from beast_ml.serving.answer_cache.semantic_parts import SemanticParts


class Caches:
    """Takes long over the first, and fails at the second."""

    def __init__(self):
        self.go_on, self.installed = threading.Event(), []

    def install(self, source):
        name = source.parent.name
        if name == "first":
            assert self.go_on.wait(5)
        if name == "second":
            raise PermissionError(source)
        self.installed.append(name)


def test_the_trained_cache_of_the_bundle_that_came_last_is_in_use():
    async def run():
        caches = Caches()
        parts = SemanticParts(None, None, caches)
        for name in ("first", "second", "third"):
            parts.bundle_changed(Path(name))
        await asyncio.sleep(0.05)
        caches.go_on.set()
        while len(caches.installed) < 2:
            await asyncio.sleep(0.005)
        return caches.installed

    assert asyncio.run(asyncio.wait_for(run(), 10)) == ["first", "third"]
