"""The real litellm against a server of OpenAI's protocol on loopback: answers, faults, retries, prices, secrecy."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bot.agent.runtimes.builtin import BuiltinRuntime
from bot.errors import ConfigurationError, ModelError
from bot.llm.budget import Budget, BudgetExceeded
from bot.llm.chat import ATTEMPTS, FIRST_PAUSE, open_model
from bot.llm.library import litellm
from bot.llm.models import PROVIDERS, access, choose_model
from bot.llm.wire import decode_message, encode_messages, without_fence
from bot.protocols import LLM
from bot.settings import Settings
from bot.testing.llm import ScriptedLLM
from bot.types.model import Message, ToolCall, ToolSpec
from bot.types.task import Task
from tests.agent_fixtures import FolderSandbox, News, never, spec_of
from tests.github_server.model_server import Failure, Item, ModelServer, Reply, completion, slow, text, tool

KEY = "sk-canary-0123456789abcdefghijklmnop"
ASK = (Message(role="user", content="hi"),)
TOOL = ToolSpec(name="shell", description="Runs.", parameters={"type": "object", "properties": {}})
SCHEMA = {"type": "object", "properties": {"label": {"type": "string"}}}


class Wire:
    """A scripted server, and a model of ours that talks to it without really sleeping."""

    def __init__(self, server: ModelServer) -> None:
        self.server = server
        self.slept: list[float] = []

    def will(self, *items: Item) -> None:
        self.server.script.extend(items)

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [asked.body for asked in self.server.requests]

    def open(self, model: str = "gpt-4o", **settings: Any) -> LLM:
        values = {"model": model, "model_url": f"{self.server.url}/v1", "model_key": KEY, **settings}
        return open_model(Settings.model_validate(values), None, {}, sleep=self.slept.append)


HELLO = Reply("hello", prompt_tokens=1000, completion_tokens=100)


@pytest.fixture
def wire() -> Iterator[Wire]:
    with ModelServer() as server:
        yield Wire(server)


def test_a_tool_call_goes_there_and_back(wire: Wire) -> None:
    wire.will(tool("shell", {"command": "ls"}))
    history = (
        Message(role="system", content="be brief"),
        *ASK,
        Message(role="assistant", tool_calls=(ToolCall(id="c0", name="no such!", arguments="{malformed"),)),
        Message(role="tool", content="error", tool_call_id="c0"),
    )
    done = wire.open().complete(history, tools=[TOOL], max_tokens=77)
    assert [(call.name, json.loads(call.arguments)) for call in done.message.tool_calls] == [
        ("shell", {"command": "ls"})
    ]
    assert done.finish_reason == "tool_calls"
    sent = wire.bodies[0]
    assert sent["tools"][0]["function"]["name"] == "shell"
    assert sent["max_tokens"] == 77
    assert [each["role"] for each in sent["messages"]] == ["system", "user", "assistant", "tool"]
    function = sent["messages"][2]["tool_calls"][0]["function"]
    assert function["name"] == "no_such_"
    assert json.loads(function["arguments"]) == {"malformed": "{malformed"}
    assert wire.server.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert not {name for name in sent if name.startswith("_")}


def test_usage_is_priced_by_the_list_and_unknown_models_are_free(wire: Wire) -> None:
    wire.will(HELLO, HELLO)
    known = wire.open()
    usage = known.complete(ASK).usage
    assert (usage.steps, usage.input_tokens, usage.output_tokens) == (1, 1000, 100)
    assert usage.usd == pytest.approx(0.0035)
    assert known.estimate(ASK, max_tokens=1000) > 0.01
    assert known.window == 128_000
    own = wire.open("my-own-model")
    assert own.complete(ASK).usage.usd == 0.0
    assert own.estimate(ASK) == 0.0
    assert own.window > 8_000


def test_what_the_provider_had_cached_is_cheaper(wire: Wire) -> None:
    body = completion({"model": "gpt-4o", "messages": []}, HELLO, "x")
    body["usage"]["prompt_tokens_details"] = {"cached_tokens": 600}
    wire.will(Failure(200, raw=json.dumps(body).encode()))
    assert wire.open().complete(ASK).usage.usd == pytest.approx(0.00275)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_passing_faults_are_waited_out(wire: Wire, status: int) -> None:
    wire.will(Failure(status), Failure(status, retry_after=7), HELLO)
    assert wire.open().complete(ASK).message.content == "hello"
    assert wire.slept == [FIRST_PAUSE, 7.0]
    assert len(wire.bodies) == 3


@pytest.mark.parametrize(("status", "code"), [(429, "model_rate_limited"), (500, "model_unavailable")])
def test_lasting_faults_end_after_a_few_attempts(wire: Wire, status: int, code: str) -> None:
    wire.will(*[Failure(status, f"no, {KEY}")] * ATTEMPTS)
    with pytest.raises(ModelError) as caught:
        wire.open().complete(ASK)
    assert caught.value.code == code
    assert caught.value.hint
    assert KEY not in str(caught.value)
    assert caught.value.__cause__ is None
    assert len(wire.bodies) == ATTEMPTS
    assert wire.slept == [2.0, 4.0, 8.0]


def test_a_wait_beyond_the_time_limit_is_not_begun(wire: Wire) -> None:
    wire.will(Failure(429, retry_after=3600))
    with pytest.raises(ModelError, match="model_rate_limited"):
        wire.open().complete(ASK, seconds=60)
    assert wire.slept == []


@pytest.mark.parametrize(
    ("status", "message", "code"),
    [
        (401, f"Incorrect API key provided: {KEY[:8]}***{KEY[-4:]}", "model_refused_key"),
        (403, "not your model", "model_refused_key"),
        (404, "no such model", "model_not_found"),
        (400, "tools are not supported", "model_bad_request"),
        (400, "This model's maximum context length is 10 tokens", "model_context_exceeded"),
        (402, "pay", "model_no_credit"),
        (429, "insufficient_quota: check your plan", "model_no_credit"),
    ],
)
def test_lasting_faults_are_named_at_once(wire: Wire, status: int, message: str, code: str) -> None:
    wire.will(Failure(status, message))
    with pytest.raises(ModelError) as caught:
        wire.open().complete(ASK)
    assert caught.value.code == code
    assert KEY[-4:] not in str(caught.value)
    assert wire.slept == []


@pytest.mark.parametrize("body", [b"<html>busy</html>", b'{"choices": []}', b'{"choices": [', b"{}", b"[]", b""])
def test_nonsense_instead_of_an_answer_is_an_unavailable_model(wire: Wire, body: bytes) -> None:
    wire.will(*[Failure(200, raw=body)] * ATTEMPTS)
    with pytest.raises(ModelError, match="model_unavailable"):
        wire.open().complete(ASK)


def test_a_dropped_connection_is_made_again(wire: Wire) -> None:
    wire.will(Failure(0), HELLO)
    assert wire.open().complete(ASK).message.content == "hello"


def test_a_server_that_hangs_is_given_up(wire: Wire) -> None:
    wire.open().count(ASK)
    assert wire.open().window  # the import is not part of the time
    wire.will(*[slow(5, HELLO)] * ATTEMPTS)
    began = time.monotonic()
    with pytest.raises(ModelError, match="model_unavailable"):
        wire.open().complete(ASK, seconds=2)
    assert time.monotonic() - began < 5


def test_a_server_that_is_not_there_is_unavailable(wire: Wire) -> None:
    with pytest.raises(ModelError, match="model_unavailable"):
        wire.open(model_url="http://127.0.0.1:9/v1").complete(ASK)
    assert len(wire.slept) == ATTEMPTS - 1


def test_a_schema_is_asked_for_in_words_where_the_parameter_is_refused(wire: Wire) -> None:
    wire.will(Reply('{"label": "bug"}'))
    llm = wire.open()
    assert llm.complete(ASK, schema=SCHEMA).message.content == '{"label": "bug"}'
    assert wire.bodies[0]["response_format"]["json_schema"]["schema"] == SCHEMA
    wire.will(Failure(400, "response_format is not supported"), Reply('```json\n{"label": "bug"}\n```'))
    assert llm.complete(ASK, schema=SCHEMA).message.content == '{"label": "bug"}'
    assert "response_format" not in wire.bodies[2]
    assert "JSON schema" in wire.bodies[2]["messages"][-1]["content"]
    wire.will(Reply('{"label": "bug"}'))
    llm.complete(ASK, schema=SCHEMA)
    assert "response_format" not in wire.bodies[3]


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (404, "No endpoints found that can handle the requested parameters."),
        (500, "failed to parse grammar"),
        (422, "response_format: extra fields not permitted"),
    ],
)
def test_other_ways_to_refuse_a_schema(wire: Wire, status: int, message: str) -> None:
    wire.will(Failure(status, message), Reply('{"label": "bug"}'))
    assert wire.open().complete(ASK, schema=SCHEMA).message.content == '{"label": "bug"}'
    assert "response_format" not in wire.bodies[1]
    assert wire.slept == []


def test_an_agent_works_through_a_real_provider(wire: Wire, tmp_path: Path) -> None:
    """Malformed calls, a lost connection and a limit on the way; the server checks that calls and answers pair up."""
    wire.will(
        tool("shell", "{malformed"),
        Failure(429, retry_after=3),
        tool("write", {"path": "state", "content": "good"}, "Writing."),
        Failure(0),
        text("Done, I think."),
        tool("finish", {"title": "Mend it", "summary": "Mended."}),
    )
    spec = spec_of(Task(name="fix", verify=(("grep", "-q", "good", "state"),)))
    outcome = BuiltinRuntime(wire.open()).run(spec, FolderSandbox(tmp_path), watch=News(), cancelled=never)
    assert (outcome.conclusion, outcome.title) == ("success", "Mend it")
    assert outcome.usage.steps == 4
    assert outcome.usage.usd > 0
    assert wire.slept == [3.0, FIRST_PAUSE]
    assert KEY not in json.dumps([dict(each) for each in outcome.trajectory])


def test_counting_is_rather_too_high() -> None:
    llm = open_model(Settings(model="gpt-4o", model_url="http://127.0.0.1:9"), None, {})
    prose = "The quick brown fox jumps over the lazy dog. " * 20  # 10 tokens a sentence by GPT-4's tokenizer
    assert 200 <= llm.count([Message(role="user", content=prose)]) <= 400
    assert llm.count([Message(role="user", content="\u6f22" * 90)]) >= 90


@pytest.mark.parametrize("name", [name for name, each in PROVIDERS.items() if each.default])
def test_every_default_is_found_by_its_key_and_knows_tools(name: str) -> None:
    provider = PROVIDERS[name]
    environ = {provider.variables[0]: KEY}
    settings = Settings()
    assert choose_model(settings, environ) == provider.default
    reached = access(settings, None, environ)
    assert reached.key is not None
    assert reached.key.get_secret_value() == KEY
    llm = open_model(settings, None, environ)
    assert llm.window >= 100_000
    assert llm.estimate(ASK) > 0


SPECIFIED = {
    "anthropic": ("anthropic", "ANTHROPIC_API_KEY"),
    "openai": ("openai", "OPENAI_API_KEY"),
    "google": ("gemini", "GEMINI_API_KEY"),
    "mistral": ("mistral", "MISTRAL_API_KEY"),
    "azure": ("azure", "AZURE_API_KEY"),
    "ollama": ("ollama", None),
}
"""Provider as people call it -> litellm's prefix, and the variable with its key."""


@pytest.mark.parametrize("name", SPECIFIED)
def test_providers_with_their_prefix_and_key(name: str) -> None:
    prefix, variable = SPECIFIED[name]
    environ = {"AZURE_API_BASE": "https://acme.example"} if name == "azure" else {}
    settings = Settings(model=f"{name}/some-model")
    if variable:
        with pytest.raises(ConfigurationError, match="model_key_missing") as caught:
            access(settings, None, environ)
        assert variable in caught.value.hint
        environ[variable] = KEY
    reached = access(settings, None, environ)
    assert reached.model == f"{prefix}/some-model"
    assert reached.url == environ.get("AZURE_API_BASE")
    assert (reached.key.get_secret_value() if reached.key else None) == (KEY if variable else None)
    assert litellm().get_llm_provider(reached.model)[1] == prefix, "litellm calls it so, too"


def test_providers_whose_customers_have_addresses_of_their_own() -> None:
    with pytest.raises(ConfigurationError, match="model_url_missing"):
        access(Settings(model="azure/mine"), None, {"AZURE_API_KEY": KEY})
    assert choose_model(Settings(), {"AZURE_API_KEY": KEY}) is None, "nobody knows the name of a deployment"
    far = access(Settings(model="ollama_chat/llama"), None, {"OLLAMA_API_BASE": "http://127.0.0.1:11434"})
    assert (far.url, far.key and far.key.get_secret_value()) == ("http://127.0.0.1:11434", "none")
    own = Settings(model="azure/mine", model_url="http://127.0.0.1:9")
    assert access(own, None, {"AZURE_API_KEY": KEY, "AZURE_API_BASE": "https://x"}).url == "http://127.0.0.1:9"


def test_a_policy_chooses_only_among_what_the_operator_allows() -> None:
    environ = {"OPENAI_API_KEY": "o", "MISTRAL_API_KEY": "m"}
    settings = Settings.model_validate(
        {"model": "openai/gpt-4o", "models": "mistral/x", "model_key": KEY, "model_url": "http://127.0.0.1:9"}
    )
    with pytest.raises(ConfigurationError, match="model_not_allowed"):
        access(settings, "openai/o1", environ)
    other = access(settings, "mistral/x", environ)
    assert other.url is None
    assert other.key is not None
    assert other.key.get_secret_value() == "m", "the operator's key is for the operator's provider"
    own = access(settings, "openai/gpt-4o", environ)
    assert own.url == "http://127.0.0.1:9"
    assert own.key is not None
    assert own.key.get_secret_value() == KEY


def test_missing_models_and_keys_are_the_operators_to_mend() -> None:
    with pytest.raises(ConfigurationError, match="model_missing"):
        open_model(Settings(), None, {})
    with pytest.raises(ConfigurationError, match="MISTRAL_API_KEY"):
        open_model(Settings(model="mistral/x"), None, {"OPENAI_API_KEY": "o"})
    assert choose_model(Settings(), {"OPENAI_API_KEY": "  "}) is None


def test_a_budget_refuses_before_it_is_exceeded() -> None:
    inner = ScriptedLLM(["a", "b", "c"], price=0.4)
    budget = Budget(inner, 1.0)
    budget.complete(ASK)
    budget.complete(ASK)
    with pytest.raises(BudgetExceeded) as caught:
        budget.complete(ASK)
    assert caught.value.code == "budget_exceeded"
    assert len(inner.heard) == 2
    assert budget.spent == pytest.approx(0.8)


def test_anthropic_is_told_what_to_cache() -> None:
    system, last = encode_messages((Message(role="system", content="s"), *ASK), cached=True)
    assert system["cache_control"] == last["cache_control"] == {"type": "ephemeral"}
    assert "cache_control" not in encode_messages(ASK)[0]


def test_an_empty_answer_is_sent_back_as_something() -> None:
    (sent,) = encode_messages((Message(role="assistant"),))
    assert sent["content"]


def test_answers_lose_what_no_file_could_hold() -> None:
    class Answer:
        content = "a\ud800b"
        tool_calls = None

    assert decode_message(Answer()).content == "a?b"
    assert without_fence(" plain ") == "plain"


CLEAN = """
import os, sys
sys.modules["mcp"] = None
import bot.llm.chat, bot.llm.budget, bot.llm.models, bot.testing.llm
import bot.agent.loop, bot.agent.tools, bot.agent.runtimes.builtin, bot.agent.runtimes.command
early = sorted({"litellm", "openai", "docker", "github"} & set(sys.modules))
before = dict(os.environ)
open(".env", "w").write("OPENAI_API_BASE=http://evil.example\\n")
from bot.llm.library import litellm, warm
warm()
module = litellm()
print(early, before == dict(os.environ), module.telemetry)
try:
    from bot.settings import Settings
    from bot.types.model import Message, ToolSpec
    llm = bot.llm.chat.open_model(Settings(model="x", model_url="http://127.0.0.1:9"), None, {}, sleep=lambda _: None)
    llm.complete([Message(role="user", content="x")], tools=[ToolSpec(name="a", description="b", parameters={})])
except Exception as error:
    print(error.code, "mcp" in str(error))
"""


def test_litellm_comes_late_alone_and_leaves_no_trace(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CLEAN], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.splitlines() == ["[] True False", "model_unavailable False"], done.stderr
    assert done.stderr == ""
