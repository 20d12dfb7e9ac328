"""`routed` between LangChain's own models, beside a server."""

import json

import pytest

from beast_ml.testing.gateway_fixtures import MODELS
from beast_ml.testing.other_python import print_in, python_with

pytestmark = pytest.mark.slow

CODE = """
import asyncio, json, sys
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from openai import OpenAI
from beast_ml.integrations.langchain import routed

url, broken, *names = sys.argv[1:]

def answers(name):
    def answer(_):
        if name == broken:
            raise RuntimeError("no answer")
        return AIMessage(name, usage_metadata={"input_tokens": 3, "output_tokens": 7, "total_tokens": 10})
    return RunnableLambda(answer)

model = routed({name: answers(name) for name in names}, OpenAI(base_url=url, api_key="any"))
question = "python loop compile stack regex thread"
chain = ChatPromptTemplate.from_messages([("system", "Be short."), ("user", "{question}")]) | model | StrOutputParser()
print(json.dumps([
    model.invoke(question).content,
    model.invoke([HumanMessage(question)]).content,
    chain.invoke({"question": question}),
    asyncio.run(chain.ainvoke({"question": question})),
    "".join(chain.stream({"question": question})),
]))
"""


def test_the_server_chooses_and_hears_what_became_of_it(serve):
    python = python_with("langchain")
    gateway = serve()
    answers = json.loads(print_in(python, CODE, gateway.url, "nobody", *MODELS))
    rows, outcomes = gateway.rows(), gateway.rows("outcomes")
    assert answers == [row["chosen_model"] for row in rows]
    assert {row["app"] for row in rows} == {"langchain"}
    assert [each["request_id"] for each in outcomes] == [row["request_id"] for row in rows]
    assert [each["served_model"] for each in outcomes] == answers
    assert {(each["status"], each["output_tokens"]) for each in outcomes} == {("ok", 7)}
    assert all(0 <= each["latency_s"] < 60 for each in outcomes)

    chosen, *_ = answers
    others = json.loads(print_in(python, CODE, gateway.url, chosen, *MODELS))
    assert chosen not in others
    first = [each for each in gateway.rows("outcomes") if each["request_id"] == gateway.rows()[len(rows)]["request_id"]]
    assert [(each["served_model"], each["status"]) for each in first] == [(chosen, "error"), (others[0], "ok")]
