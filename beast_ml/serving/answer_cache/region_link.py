"""A worker's link to the caches of other regions: what it keeps goes there, beside the requests."""

from __future__ import annotations

from beast_ml.cache.entry import CacheEntry
from beast_ml.cache.region_stream import RegionStream
from beast_ml.cache.tier_health import TierHealth
from beast_ml.cache.tier_stats import TierStats
from beast_ml.cache.write_back import WriteBack

__all__ = ["RegionLink"]


class RegionLink:
    """Sends entries to the other regions; while the home is away they wait, up to the limits of a `WriteBack`.

    Parameters
    ----------
    stream
        Of this region; closed with the link.
    in_background
        Whether a thread sends; False: only `flush` does.
    """

    def __init__(self, stream: RegionStream, *, in_background: bool = True) -> None:
        self.stream = stream
        self._outgoing = WriteBack(stream, TierHealth(), in_background=in_background)

    def send(self, entry: CacheEntry) -> None:
        """Have an answer sent; refusals and errors, which live for moments, stay here."""
        if entry.kind == "answer":
            self._outgoing.put(entry)

    def flush(self) -> bool:
        """Send what waits; return whether all of it is at the home. Blocks."""
        return self._outgoing.flush()

    def stats(self) -> TierStats:
        """Return what was sent since the start."""
        return self._outgoing.stats()

    def close(self) -> None:
        """Send what waits, for some seconds at most, and let go of connections. Blocks."""
        self._outgoing.close()
        self.stream.close()
