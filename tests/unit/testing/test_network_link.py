import socket
import threading

import pytest

from beast_ml.testing.network_link import NetworkLink


@pytest.fixture
def echo():
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    while data := connection.recv(1024):
                        connection.sendall(data)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
    thread.join()


def test_a_cut_link_lets_nothing_through_until_it_is_mended(echo):
    with NetworkLink(("127.0.0.1", echo)) as link, socket.create_connection(("127.0.0.1", link.port)) as client:
        client.sendall(b"one")
        assert client.recv(10) == b"one"
        link.cut()
        client.settimeout(0.1)
        client.sendall(b"two")
        with pytest.raises(TimeoutError):
            client.recv(10)
        link.mend()
        client.settimeout(5)
        assert client.recv(10) == b"two"


def test_both_directions_are_delayed(echo):
    with (
        NetworkLink(("127.0.0.1", echo), delay_s=0.1) as link,
        socket.create_connection(("127.0.0.1", link.port)) as far,
    ):
        far.settimeout(0.15)
        far.sendall(b"one")
        with pytest.raises(TimeoutError):
            far.recv(10)  # not even half of the way there and back twice
        far.settimeout(5)
        assert far.recv(10) == b"one"
