"""What the README of the integrations shows of OpenAI's client, run against a server and a provider."""

import re
from pathlib import Path

import beast_ml.integrations

README = Path(beast_ml.integrations.__file__).with_name("README.md")


def test_what_is_shown_of_openais_client_runs(serve, provider, capsys):
    gateway = serve()
    section = README.read_text().split("## OpenAI's client\n")[1].split("\n## ")[0]
    (shown,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    assert 'base_url="http://127.0.0.1:8080/v1"' in shown
    exec(compile(shown.replace("http://127.0.0.1:8080/v1", gateway.url), README, "exec"), {})  # noqa: S102 - our own
    *_, said = capsys.readouterr().out.splitlines()
    model, cost = said.split()
    (row,) = gateway.rows()
    assert (row["chosen_model"], row["served_model"]) == (model, model)
    assert row["cost_usd"] == float(cost) > 0
    assert row["context"]["task"] == "maths"
    assert [each["request_id"] for each in gateway.rows("feedback")] == [row["request_id"]]
