import socket
import threading
from contextlib import suppress

import pytest

from beast_ml.benchmarks.chaos.tcp_proxy import TcpProxy


@pytest.fixture
def echo():
    """Return the address of a server that sends back what it gets."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(sock):
        with sock, suppress(ConnectionResetError):
            while data := sock.recv(1024):
                sock.sendall(data)

    def accept():
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(sock,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield listener.getsockname()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


@pytest.fixture
def proxy(echo):
    with TcpProxy(echo) as running:
        yield running


def connect(proxy, timeout=10.0):
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=timeout)


def test_it_forwards_both_ways(proxy):
    with connect(proxy) as sock:
        sock.sendall(b"hello")
        assert sock.recv(100) == b"hello"


def test_where_it_is_cut_connections_end_and_none_is_made_until_it_is_mended_at_the_same_port(proxy):
    port = proxy.port
    with connect(proxy) as sock:
        sock.sendall(b"a")
        assert sock.recv(100) == b"a"
        proxy.set("cut")
        with pytest.raises(ConnectionResetError):
            sock.recv(100)
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)
    proxy.set("up")
    assert proxy.port == port
    with connect(proxy) as sock:
        sock.sendall(b"b")
        assert sock.recv(100) == b"b"


def test_where_it_is_stalled_nothing_arrives_and_nobody_is_told_until_it_goes_on(proxy):
    with connect(proxy, timeout=0.2) as sock:
        proxy.set("stalled")
        sock.sendall(b"later")
        with pytest.raises(TimeoutError):
            sock.recv(100)
        proxy.set("up")
        sock.settimeout(10.0)
        assert sock.recv(100) == b"later"


def test_where_it_is_slow_everything_arrives(proxy):
    proxy.set("slow", 0.01)
    with connect(proxy) as sock:
        sock.sendall(b"slow")
        assert sock.recv(100) == b"slow"


def test_after_a_reset_new_connections_are_taken(proxy):
    with connect(proxy) as sock:
        sock.sendall(b"a")
        assert sock.recv(100) == b"a"
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            sock.recv(100)
    with connect(proxy) as sock:
        sock.sendall(b"b")
        assert sock.recv(100) == b"b"


def test_connections_that_it_forgot_stay_silent_and_new_ones_work(proxy):
    with connect(proxy, timeout=0.2) as old:
        old.sendall(b"a")
        assert old.recv(100) == b"a"
        proxy.forget()
        old.sendall(b"b")
        with pytest.raises(TimeoutError):
            old.recv(100)
    with connect(proxy) as new:
        new.sendall(b"c")
        assert new.recv(100) == b"c"


def test_a_server_that_is_away_ends_the_connection(echo):
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        address = nobody.getsockname()
    with TcpProxy(address) as proxy, pytest.raises(ConnectionResetError), connect(proxy) as sock:
        sock.recv(100)  # or it was over before the connection was seen to be there


def test_it_reaches_a_unix_socket(tmp_path_factory):
    path = tmp_path_factory.mktemp("s") / "s"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        with TcpProxy(path) as proxy, connect(proxy) as sock:
            taken, _ = listener.accept()
            with taken:
                taken.sendall(b"from a file")
                assert sock.recv(100) == b"from a file"
