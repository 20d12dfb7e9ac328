import pytest

from beast_ml.cli.route import print_decision
from beast_ml.domain import RoutingDecision


@pytest.mark.parametrize(("kind", "said"), [("[b]law[/b]", "kind of request: [b]law[/b]"), (None, None)])
def test_the_kind_is_printed_where_it_is_known(capsys, kind, said):
    print_decision(RoutingDecision("small", 1.0, ("large",), "digest", request_kind=kind))
    shown = capsys.readouterr().out
    assert "fallbacks: large" in shown
    assert (said in shown) if said else ("kind of request" not in shown)
