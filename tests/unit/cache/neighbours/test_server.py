import asyncio
import threading

import pytest

from beast_ml.cache.neighbours.client import NeighbourClient, Neighbours
from beast_ml.cache.neighbours.frames import MAX_FRAME_BYTES, FrameReader, Lookup, NewEntry, Reply, Request, frame
from beast_ml.cache.neighbours.server import NeighbourServer, ServerLimits
from beast_ml.errors import DataError, InputError
from beast_ml.features.hashing import HashingEncoder

pytestmark = pytest.mark.anyio

A, B = b"tenant a", b"tenant b"


async def indexed(client, n):
    """Wait until n entries can be found."""
    async with asyncio.timeout(10):
        while (stats := await client.stats()) is None or stats.entries != n or stats.waiting:
            await asyncio.sleep(0.01)
    return stats


def ids(found):
    return [each.entry_id for each in found.neighbours]


async def test_an_entry_is_found_by_a_text_near_it_in_its_partition_only(engine, serving):
    async with serving(engine) as client:
        assert await client.lookup(A, "how do I bake bread") == Neighbours("gated")
        await client.add([NewEntry("bread", A, "how do I bake good bread"), NewEntry("tax", A, "what is a tax form")])
        await indexed(client, 2)
        found = await client.lookup(A, "how do I bake bread", k=1)
        assert (found.outcome, ids(found)) == ("searched", ["bread"])
        assert 0.7 < found.neighbours[0].similarity < 1
        assert await client.lookup(B, "how do I bake bread") == Neighbours("gated")
        assert await client.remove(["bread", "unknown"]) == 1
        assert ids(await client.lookup(A, "how do I bake bread", gated=False)) == ["tax"]
        await client.add([NewEntry("other", B, "how do I bake bread")])
        await indexed(client, 2)
        assert await client.remove([], [A]) == 1
        stats = await indexed(client, 1)
        assert (stats.partitions, stats.lookups, stats.gated) == (1, 4, 2)


async def test_no_text_is_too_long_or_too_odd(engine, serving):
    odd = "half a \ud83d smile"
    long = f"begin {'and so on ' * 500_000} end"
    async with serving(engine) as client:
        await client.add([NewEntry("odd", A, odd), NewEntry("long", A, long)])
        await indexed(client, 2)
        assert ids(await client.lookup(A, odd, k=1)) == ["odd"]
        assert ids(await client.lookup(A, long, k=1)) == ["long"]
        assert (await client.stats()).embedded == 2


async def test_what_the_gate_stops_is_never_embedded(engine, serving):
    async with serving(engine) as client:
        await client.add([NewEntry("bread", A, "how do I bake good bread")])
        before = (await indexed(client, 1)).embedded
        assert (await client.lookup(A, "quantum chromodynamics")).outcome == "gated"
        assert (await client.stats()).embedded == before
        await client.lookup(A, "bake good bread")
        assert (await client.stats()).embedded == before + 1
        # the miss is answered by somebody, and stored: its text is known by now
        await client.add([NewEntry("again", A, "bake good bread")])
        assert (await indexed(client, 2)).embedded == before + 1


async def test_many_lookups_of_several_clients_are_each_answered_rightly(engine, serving):
    words = [f"word{n} other{n} third{n}" for n in range(60)]
    async with serving(engine, n_clients=3) as clients:
        await clients[0].add([NewEntry(f"e{n}", (A, B)[n % 2], text) for n, text in enumerate(words)])
        await indexed(clients[1], 60)
        asked = [(n, clients[n % 3].lookup((A, B)[n % 2], words[n], k=1)) for n in [*range(60)] * 2]
        answers = await asyncio.gather(*(lookup for _, lookup in asked))
        assert [ids(answer) for answer in answers] == [[f"e{n}"] for n, _ in asked]


class Stuck(HashingEncoder):
    """An encoder that waits to be let go."""

    gate = threading.Event()
    entered = threading.Event()

    def encode(self, texts):
        self.entered.set()
        self.gate.wait(10)
        return super().encode(texts)


@pytest.fixture
def stuck(engine):
    Stuck.gate.clear()
    Stuck.entered.clear()
    engine.encoder = Stuck(dim=256)
    engine.gate = -1.0
    yield engine
    Stuck.gate.set()


async def test_what_there_is_no_room_for_misses_at_once(stuck, serving):
    async with serving(stuck, limits=ServerLimits(lookups=4)) as client:
        lookups = [asyncio.create_task(client.lookup(A, f"text {n}", gated=False)) for n in range(9)]
        done, _ = await asyncio.wait(lookups, timeout=5, return_when=asyncio.FIRST_COMPLETED)
        assert {each.result().outcome for each in done} == {"overloaded"}
        Stuck.gate.set()
        outcomes = [each.outcome for each in await asyncio.gather(*lookups)]
        assert outcomes.count("searched") >= 4
        assert set(outcomes) == {"searched", "overloaded"}
        assert (await client.stats()).overloaded == outcomes.count("overloaded")


async def test_a_lookup_takes_no_longer_than_it_may_and_is_not_computed_in_vain(stuck, serving):
    async with serving(stuck) as client:
        first = asyncio.create_task(client.lookup(A, "first", gated=False))
        assert await asyncio.to_thread(Stuck.entered.wait, 10)
        async with asyncio.timeout(5):
            assert await client.lookup(A, "second", gated=False, within_s=0.05) == Neighbours("late")
        Stuck.gate.set()
        assert (await first).outcome == "searched"
        async with asyncio.timeout(5):
            while (await client.stats()).late != 1:
                await asyncio.sleep(0.01)
        assert (await client.stats()).embedded == 1


async def test_a_text_that_cannot_be_embedded_harms_nobody_else(engine, serving):
    class Broken(HashingEncoder):
        def encode(self, texts):
            if any("poison" in text for text in texts):
                raise RuntimeError("as onnxruntime does")
            return super().encode(texts)

    engine.encoder, engine.gate = Broken(dim=256), -1.0
    async with serving(engine) as client:
        assert (await client.lookup(A, "poison", gated=False)).outcome == "away"
        await client.add([NewEntry("bad", A, "poison")])
        await client.add([NewEntry("good", A, "bread")])
        await asyncio.sleep(0.1)
        await client.add([NewEntry("good", A, "bread")])
        await indexed(client, 1)
        assert ids(await client.lookup(A, "bread")) == ["good"]


@pytest.mark.parametrize(
    "bad",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        (MAX_FRAME_BYTES + 1).to_bytes(4) + b"x",
        (3).to_bytes(4) + b"\xc1\xc1\xc1",
        (1).to_bytes(4) + b"\x01",
        frame(Lookup(1, A, "x", 1, 1.0)).replace(b"lookup", b"loosen"),
        frame(Lookup(1, A, "ab", 1, 1.0)).replace(b"\xa2ab", b"\xa2\xff\xfe"),
    ],
)
async def test_who_sends_what_is_no_message_is_told_so_and_left_and_others_go_on(bad, engine, serving, socket_path):
    async with serving(engine) as client:
        reader, writer = await asyncio.open_unix_connection(str(socket_path))
        writer.write(bad)
        said = await asyncio.wait_for(reader.read(), 5)
        messages = list(FrameReader(Reply).read(said))
        assert [type(each).__name__ for each in messages] == ["Welcome", "Refused"]
        writer.close()
        assert (await client.lookup(A, "bread")).outcome == "gated"


async def test_messages_that_come_in_pieces_are_put_together(engine, serving, socket_path):
    async with serving(engine):
        reader, writer = await asyncio.open_unix_connection(str(socket_path))
        for byte in frame(Lookup(7, A, "bread", 1, 5.0)):
            writer.write(bytes([byte]))
            await asyncio.sleep(0)
        frames, replies = FrameReader(Reply), []
        while len(replies) < 2:
            replies += frames.read(await asyncio.wait_for(reader.read(100), 5))
        assert (replies[1].id, replies[1].outcome) == (7, "gated")
        writer.close()


def test_a_reader_reads_many_messages_of_one_piece():
    asked = [Lookup(n, A, "x" * n, 1, 1.0) for n in range(30)]
    assert list(FrameReader(Request).read(b"".join(map(frame, asked)))) == asked
    with pytest.raises(DataError, match="at most"):
        list(FrameReader(Request).read(b"\xff\xff\xff\xff"))


async def test_a_rebuild_takes_in_what_is_missing_and_forgets_what_is_gone(engine, serving):
    def entry(n):
        return NewEntry(f"e{n}", A, f"text number{n} of many{n}")

    async with serving(engine, limits=ServerLimits(entries=50)) as client:
        await client.add([entry(n) for n in range(40)])
        before = (await indexed(client, 40)).embedded
        assert await client.rebuild(entry(n) for n in range(20, 320)) == 20
        stats = await client.stats()
        assert stats.entries == 300
        assert stats.embedded == before + 280


async def test_a_client_without_a_process_misses_at_once_and_finds_it_when_it_comes(engine, serving, socket_path):
    client = NeighbourClient(socket_path)
    await client.start()
    assert await client.lookup(A, "bread") == Neighbours("away")
    assert await client.add([NewEntry("e", A, "bread")]) == 0
    assert await client.remove(["e"]) == 0
    assert await client.stats() is None
    assert await client.rebuild([]) is None
    for instance in ("first", "second"):
        async with serving(engine, n_clients=0, instance=instance), asyncio.timeout(5):
            while client.instance != instance:
                await asyncio.sleep(0.01)
            assert (await client.lookup(A, "bread")).outcome == "gated"
        async with asyncio.timeout(5):
            while client.instance is not None:
                await asyncio.sleep(0.01)
        assert await client.lookup(A, "bread") == Neighbours("away")
    await client.close()


async def test_the_index_is_rebuilt_after_every_start_of_the_process(engine, serving, socket_path):
    client = NeighbourClient(socket_path)
    await client.start()
    keeping = asyncio.create_task(client.keep_rebuilt(lambda: [NewEntry("kept", A, "how to bake bread")]))
    for instance in ("first", "second"):
        async with serving(engine, n_clients=0, instance=instance), asyncio.timeout(5):
            while not (await client.lookup(A, "bake bread", gated=False)).neighbours:
                await asyncio.sleep(0.01)
        engine.index.remove(["kept"])
    keeping.cancel()
    await client.close()


async def test_a_socket_path_that_is_too_long_is_said(engine, tmp_path):
    with pytest.raises(InputError, match="too long for a socket"):
        await NeighbourServer(engine, "x").serve(tmp_path / ("x" * 120))
