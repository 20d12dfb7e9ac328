from importlib.metadata import EntryPoint

import pytest

from beast_ml.errors import InputError, MissingExtraError
from beast_ml.evaluation import peers


def lacking():
    raise MissingExtraError("this peer", "peers")


@pytest.mark.parametrize("points", [[], [EntryPoint("a", f"{__name__}:lacking", peers.PEER_GROUP)]])
def test_without_an_installed_peer_the_error_says_what_to_install(monkeypatch, points):
    monkeypatch.setattr(peers, "entry_points", lambda group: points)
    monkeypatch.setattr(EntryPoint, "load", lambda self: lacking)
    with pytest.raises(InputError, match=r"no external router is installed.*beast_ml\.peers"):
        peers.installed_peers()


def test_installed_peers_are_built_by_name(monkeypatch):
    points = [EntryPoint("b", "builtins:dict", peers.PEER_GROUP), EntryPoint("a", "builtins:list", peers.PEER_GROUP)]
    monkeypatch.setattr(peers, "entry_points", lambda group: points if group == peers.PEER_GROUP else [])
    assert peers.installed_peers() == {"a": [], "b": {}}
