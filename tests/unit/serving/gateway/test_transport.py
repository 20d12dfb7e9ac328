import asyncio
import contextlib
import itertools
import ssl
from datetime import UTC, datetime, timedelta

import httpx2
import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from beast_ml.domain.endpoint import Endpoint
from beast_ml.errors import ProviderError
from beast_ml.serving.gateway.provider import Providers
from beast_ml.serving.gateway.transport import Origin, Patience, ProviderTransport, origin_of, request_head

PATIENCE = Patience(connect_s=5.0, read_s=5.0)
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Said: so\r\n\r\nhello"
SILENCE = b""

LOOPS = [asyncio.run]


@pytest.fixture(scope="module", autouse=True, params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def _loop(request):
    LOOPS.append(request.param)


class Provider:
    """Answers each request with the next bytes of a script; SILENCE waits until `spoken`, None hangs up."""

    def __init__(self, *answers, tls=None):
        self.answers, self.tls = list(answers), tls
        self.requests, self.n_connections, self.serving = [], 0, set()
        self.spoken = asyncio.Event()

    async def _serve(self, reader, writer):
        self.n_connections += 1
        self.serving.add(asyncio.current_task())
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await self._answer(reader, writer)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    async def _answer(self, reader, writer):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
            self.requests.append((head, await reader.readexactly(length)))
            for part in self.answers.pop(0):
                if part is None:
                    return
                if part == SILENCE:
                    await self.spoken.wait()
                    continue
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0)

    @contextlib.asynccontextmanager
    async def running(self):
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.tls)
        transport = ProviderTransport()
        self.port = port = server.sockets[0].getsockname()[1]
        url = httpx2.URL(f"{'https' if self.tls else 'http'}://127.0.0.1:{port}/v1/chat/completions")

        async def ask(body=b"{}", patience=PATIENCE):
            return await transport.send(origin_of(url, has_key=False), request_head("POST", url, []), body, patience)

        try:
            yield transport, ask
        finally:
            await transport.aclose()
            server.close()
            for task in self.serving:
                task.cancel()
            await asyncio.gather(*self.serving, return_exceptions=True)


def run(provider, using):
    async def running():
        async with provider.running() as (transport, ask):
            return await asyncio.wait_for(using(transport, ask), 20)

    return LOOPS[-1](running())


async def asked_and_read(_, ask):
    answer = await ask()
    return answer.status_code, await answer.read()


def test_one_connection_carries_one_request_after_another():
    async def thrice(_, ask):
        return [await (await ask(body)).read() for body in (b"a", b"bb", b"")]

    provider = Provider([WHOLE], [WHOLE], [WHOLE])
    assert run(provider, thrice) == [b"hello"] * 3
    assert provider.n_connections == 1
    assert [body for _, body in provider.requests] == [b"a", b"bb", b""]


def test_requests_at_once_have_connections_of_their_own():
    async def at_once(_, ask):
        answers = await asyncio.gather(ask(), ask(), ask())
        return [await answer.read() for answer in answers]

    provider = Provider([WHOLE], [WHOLE], [WHOLE])
    assert run(provider, at_once) == [b"hello"] * 3
    assert provider.n_connections == 3


@settings(max_examples=40, deadline=None)
@given(
    parts=st.lists(st.binary(min_size=1, max_size=30), max_size=6),
    cuts=st.lists(st.integers(1, 400), max_size=8),
)
def test_an_answer_is_the_same_wherever_the_network_cuts_it(parts, cuts):
    chunked = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
    wire = b"HTTP/1.1 201 Made\r\nTransfer-Encoding: chunked\r\n\r\n%b0\r\n\r\n" % chunked
    places = [0, *sorted({cut for cut in cuts if cut < len(wire)}), len(wire)]
    pieces = [wire[a:b] for a, b in itertools.pairwise(places)]

    async def twice(_, ask):
        answer = await ask()
        return answer.status_code, await answer.read(), await (await ask()).read()

    provider = Provider(pieces, [WHOLE])
    assert run(provider, twice) == (201, b"".join(parts), b"hello")
    assert provider.n_connections == 1


def test_words_between_are_passed_over():
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    assert run(Provider([early, WHOLE]), asked_and_read) == (200, b"hello")
    assert run(Provider([early + WHOLE]), asked_and_read) == (200, b"hello")


def test_headers_are_known_before_the_body_is_there():
    async def heads(_, ask):
        answer = await ask()
        headers = answer.headers
        provider.spoken.set()
        return headers, await answer.read()

    provider = Provider([WHOLE[:-5], SILENCE, WHOLE[-5:]])
    headers, body = run(provider, heads)
    assert headers == {"content-length": "5", "x-said": "so"}
    assert body == b"hello"


def test_an_answer_without_a_length_ends_with_its_connection():
    async def twice(_, ask):
        return [await (await ask()).read(), await (await ask()).read()]

    provider = Provider([b"HTTP/1.1 200 OK\r\n\r\nhel", b"lo", None], [WHOLE])
    assert run(provider, twice) == [b"hello", b"hello"]
    assert provider.n_connections == 2


def test_a_connection_that_is_to_be_closed_is_not_used_again():
    async def twice(_, ask):
        return [await (await ask()).read(), await (await ask()).read()]

    provider = Provider([WHOLE.replace(b"X-Said: so", b"Connection: close")], [WHOLE])
    assert run(provider, twice) == [b"hello", b"hello"]
    assert provider.n_connections == 2


def test_a_connection_that_the_provider_closed_meanwhile_is_not_used_again():
    async def later(transport, ask):
        first = await (await ask()).read()
        while transport._open:
            await asyncio.sleep(0.01)
        return first, await (await ask()).read()

    provider = Provider([WHOLE, None], [WHOLE])
    assert run(provider, later) == (b"hello", b"hello")
    assert provider.n_connections == 2


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ([None], httpx2.ReadError),
        ([WHOLE[:-1], None], httpx2.ReadError),
        ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", None], httpx2.ReadError),
        ([b"SSH-2.0-OpenSSH_9.2\r\n"], httpx2.RemoteProtocolError),
        ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nhello\r\n"], httpx2.RemoteProtocolError),
        ([WHOLE[:30], SILENCE], httpx2.ReadTimeout),
        ([WHOLE[:-2], SILENCE], httpx2.ReadTimeout),
    ],
)
def test_what_breaks_off_is_an_error_and_its_connection_is_closed(answer, error):
    async def fails(transport, ask):
        with pytest.raises(error):
            await (await ask(patience=Patience(5.0, 0.3))).read()
        return len(transport._open), await (await ask()).read()

    provider = Provider(answer, [WHOLE])
    n_open, body = run(provider, fails)
    assert (n_open, body) in ((0, b"hello"), (1, b"hello"))  # one that timed out is open until its answer is closed
    assert provider.n_connections == 2


def test_an_answer_nobody_wants_any_more_closes_its_connection():
    async def leaves(transport, ask):
        answer = await ask()
        answer.close()
        return len(transport._open), await (await ask()).read()

    provider = Provider([WHOLE[:-1], SILENCE], [WHOLE])
    assert run(provider, leaves) == (0, b"hello")


def test_who_stops_waiting_closes_the_connection():
    async def cancelled(transport, ask):
        waiting = asyncio.ensure_future(ask())
        while not provider.requests:
            await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        return len(transport._open)

    provider = Provider([SILENCE])
    assert run(provider, cancelled) == 0


def test_words_nobody_asked_for_close_the_connection():
    async def later(transport, ask):
        await (await ask()).read()
        for _ in range(200):
            if not transport._open:
                break
            await asyncio.sleep(0.01)
        return await (await ask()).read()

    provider = Provider([WHOLE + WHOLE, None], [WHOLE])
    assert run(provider, later) == b"hello"
    assert provider.n_connections == 2


def test_a_long_answer_waits_for_its_reader():
    async def slowly(_, ask):
        answer = await ask()
        await asyncio.sleep(0.2)
        held = answer._connection._n_waiting
        return held, len(await answer.read())

    n = 30 << 20
    wire = [b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % n, *[bytes(1 << 16)] * (n >> 16)]
    held, read = run(Provider(wire), slowly)
    assert read == n
    assert held < n / 4


def test_nobody_there_is_told_from_an_answer_that_broke_off():
    async def refused(transport, _):
        nobody = httpx2.URL("http://127.0.0.1:9/")
        with pytest.raises(httpx2.ConnectError, match=r"^Connection refused$"):  # its address is not told
            await transport.send(origin_of(nobody, has_key=False), request_head("POST", nobody, []), b"", PATIENCE)

    run(Provider(), refused)


def test_connecting_too_long_is_a_timeout(monkeypatch):
    async def waits(transport, ask):
        async def never(_):
            await asyncio.sleep(60)

        monkeypatch.setattr(transport, "_connect", never)
        with pytest.raises(httpx2.ConnectTimeout, match=r"127\.0\.0\.1 in 0\.05 s"):
            await ask(patience=Patience(0.05, 5.0))

    run(Provider(), waits)


def test_the_sdks_client_sends_on_the_same_connections():
    async def both(transport, ask):
        await (await ask()).read()
        async with httpx2.AsyncClient(transport=transport) as client:
            answer = await client.post(f"http://127.0.0.1:{provider.port}/v1/models", json={"a": 1})
        return answer.status_code, answer.text, answer.headers["x-said"]

    provider = Provider([WHOLE], [WHOLE])
    assert run(provider, both) == (200, "hello", "so")
    assert provider.n_connections == 1
    head, body = provider.requests[1]
    assert head.startswith(b"POST /v1/models HTTP/1.1\r\n")
    assert head.lower().count(b"host: ") == head.count(b"content-length: ") == 1
    assert body == b'{"a":1}'


@pytest.mark.parametrize("name", ["authorization", "x-organisation"])
def test_a_header_cannot_smuggle_another(name):
    url = httpx2.URL("http://provider/v1")
    with pytest.raises(httpx2.LocalProtocolError, match=f"'{name}' holds a line break"):
        request_head("POST", url, [(name.encode(), b"Bearer key\r\nx-evil: yes")])


def test_addresses():
    with_tls, local = httpx2.URL("https://api.example.com/v1"), httpx2.URL("http://[::1]:8000/v1")
    assert origin_of(with_tls, has_key=True) == Origin("api.example.com", 443, tls=True, has_key=True)
    assert origin_of(local, has_key=False) == Origin("::1", 8000, tls=False, has_key=False)
    head = request_head("POST", httpx2.URL("http://[::1]:8000/v1?api-version=2"), [(b"a", b"b")])
    assert head == b"POST /v1?api-version=2 HTTP/1.1\r\nhost: [::1]:8000\r\na: b\r\ncontent-length: "


def certificate(folder, name):
    """Write a self-signed certificate of a name and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "pair.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + built.public_bytes(serialization.Encoding.PEM))
    return path


def test_tls_reaches_whom_a_trusted_certificate_names_and_nobody_else(tmp_path):
    path = certificate(tmp_path, "localhost")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(path)

    async def asks(transport, ask):
        named = httpx2.URL(f"https://localhost:{provider.port}/")

        async def by_name():
            return await transport.send(origin_of(named, has_key=False), request_head("POST", named, []), b"", PATIENCE)

        with pytest.raises(httpx2.ConnectError, match=r"(?i)certificate"):
            await by_name()  # nobody vouches for it
        transport._tls_context().load_verify_locations(path)
        with pytest.raises(httpx2.ConnectError, match=r"(?i)certificate"):
            await ask()  # it names localhost, which 127.0.0.1 is not
        return await (await by_name()).read()

    provider = Provider([WHOLE], tls=tls)
    assert run(provider, asks) == b"hello"


def test_a_provider_cannot_send_us_elsewhere():
    moved = b"HTTP/1.1 307 Temporary Redirect\r\nContent-Length: 0\r\nLocation: /v1/elsewhere\r\n\r\n"

    async def both(_, ask):
        endpoint = Endpoint("e", "m", f"http://127.0.0.1:{provider.port}/v1")
        providers = Providers([endpoint], {})
        answer = await ask()
        with contextlib.suppress(ProviderError):
            await providers.probe(endpoint)
        await providers.close()
        return answer.status_code

    provider = Provider([moved], [moved], [WHOLE], [WHOLE])
    assert run(provider, both) == 307
    assert not [head for head, _ in provider.requests if b"elsewhere" in head]
    assert len(provider.requests) == 2
