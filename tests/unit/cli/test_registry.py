import contextlib
import json

import pytest

from beast_ml.errors import PromotionRefusedError
from beast_ml.registry import promotion, ui
from beast_ml.registry.evidence import Interval
from beast_ml.registry.gates import Gates, judge
from beast_ml.registry.promotion import Promotion
from beast_ml.testing.registry import make_evidence

PAYS = make_evidence()
WORSE = make_evidence(quality_gain=Interval(-0.05, -0.08, -0.02))


def outcome(evidence=PAYS, sentence="version 2 is the champion"):
    return Promotion(2, 1, "router", True, sentence, evidence, judge(evidence, Gates()) if evidence else None)


def test_promotion_shows_the_evidence_the_gates_and_the_result(beast, monkeypatch):
    monkeypatch.setattr(promotion, "promote", lambda *arguments: outcome())
    code, out, _ = beast("promote")
    assert code == 0
    assert "quality gain over large" in out
    assert "enough data" in out
    assert out.rstrip().endswith("version 2 is the champion.")


def test_promotion_is_given_the_version_the_store_and_the_gates_that_are_configured(beast, monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(promotion, "promote", lambda *arguments: asked.append(arguments) or outcome())
    (tmp_path / "mlflow.yaml").write_text("gates: {min_test_queries: 50}\ntracking: {uri: 'sqlite:///here.db'}\n")
    assert beast("promote", "--version", "3")[0] == 0
    ((config, version, gates),) = asked
    assert config.database == tmp_path / "here.db"
    assert version == 3
    assert gates == Gates(min_test_queries=50)


def test_a_refused_promotion_shows_why_and_exits_with_1(beast, monkeypatch):
    def refuse(*arguments):
        raise PromotionRefusedError("version 2 is not promoted", outcome(WORSE).to_dict())

    monkeypatch.setattr(promotion, "promote", refuse)
    code, out, err = beast("promote")
    assert code == 1
    assert "FAILED" in out
    assert "pays: lower 95% bounds against the best single model" in " ".join(out.split())
    assert "version 2 is not promoted" in err
    code, out, _ = beast("promote", "--json")
    assert code == 1
    assert json.loads(out)["gates"][0]["passed"] is False


def test_json_holds_all_that_was_judged(beast, monkeypatch):
    monkeypatch.setattr(promotion, "promote", lambda *arguments: outcome())
    code, out, _ = beast("promote", "--json")
    assert code == 0
    document = json.loads(out)
    assert (document["champion"], document["previous"]) == (2, 1)
    assert document["evidence"]["n_test_queries"] == PAYS.n_test_queries


def test_rollback_says_what_serves_now(beast, monkeypatch):
    monkeypatch.setattr(promotion, "rollback", lambda config: outcome(None, "version 1 is the champion again"))
    assert beast("rollback")[1] == "version 1 is the champion again.\n"
    assert json.loads(beast("rollback", "--json")[1])["evidence"] is None


def test_an_empty_registry_is_an_error_in_one_sentence(beast):
    code, out, err = beast("promote")
    assert (code, out) == (1, "")
    assert "train one first" in " ".join(err.split())


def test_a_store_that_is_none_is_the_users_input(beast, monkeypatch):
    monkeypatch.setenv("BEAST_TRACKING__URI", "mlruns")
    code, _, err = beast("promote")
    assert code == 2
    assert "must be sqlite:///FILE or http" in " ".join(err.split())


def test_a_dead_server_is_said_so(beast, monkeypatch):
    monkeypatch.setenv("BEAST_TRACKING__URI", "http://127.0.0.1:1")
    for command in ("promote", "rollback", "ui"):
        code, _, err = beast(command)
        assert code == 1
        assert "does not answer" in err


@pytest.mark.parametrize("end", [0, 3])
def test_the_ui_says_where_it_is_and_ends_as_its_server_does(beast, monkeypatch, end):
    class Server:
        url = "http://127.0.0.1:5077"

        def wait(self):
            return end

    monkeypatch.setattr(ui, "ui_server", lambda config, port: contextlib.nullcontext(Server()))
    monkeypatch.setattr(ui, "training_page", lambda url, experiment: f"{url}/#/{experiment}")
    code, out, _ = beast("ui", "--port", "5077")
    assert code == end
    assert "MLflow UI at http://127.0.0.1:5077/#/beast-ml (Ctrl+C stops it)" in out


def test_the_ui_is_stopped_from_the_keyboard(beast, monkeypatch):
    class Server:
        url = "http://127.0.0.1:5077"

        def wait(self):
            raise KeyboardInterrupt

    monkeypatch.setattr(ui, "ui_server", lambda config, port: contextlib.nullcontext(Server()))
    monkeypatch.setattr(ui, "training_page", lambda url, experiment: url)
    code, out, _ = beast("ui")
    assert code == 0
    assert out.endswith("stopped\n")


def test_a_servers_ui_is_only_pointed_at(beast, monkeypatch):
    monkeypatch.setenv("BEAST_TRACKING__URI", "http://mlflow.example")
    monkeypatch.setattr(ui, "training_page", lambda url, experiment: f"{url}/#/runs")
    code, out, _ = beast("ui")
    assert (code, out) == (0, "MLflow UI at http://mlflow.example/#/runs\n")
