"""The real litellm against a server of OpenAI's protocol on loopback: answers, faults, retries, prices, secrecy."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from bot.errors import ConfigurationError, ModelError
from bot.llm.budget import Budget, BudgetExceeded
from bot.llm.chat import ATTEMPTS, FIRST_PAUSE, open_model
from bot.llm.models import PROVIDERS, access, choose_model
from bot.llm.wire import decode_message, encode_messages, without_fence
from bot.protocols import LLM
from bot.settings import Settings
from bot.testing.llm import ScriptedLLM
from bot.types.model import Message, ToolCall, ToolSpec

KEY = "sk-canary-0123456789abcdefghijklmnop"
ASK = (Message(role="user", content="hi"),)
TOOL = ToolSpec(name="shell", description="Runs.", parameters={"type": "object", "properties": {}})
SCHEMA = {"type": "object", "properties": {"label": {"type": "string"}}}


class Wire:
    """What the server answers, in order, and what it was sent."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, str], Any]] = []
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.url = ""
        self.slept: list[float] = []

    def will(self, status: int, body: Any, **headers: str) -> None:
        self.answers.append((status, {name.replace("_", "-"): value for name, value in headers.items()}, body))

    def says(self, content: str | None = "hello", **message: Any) -> None:
        self.will(200, answer({"role": "assistant", "content": content, **message}))

    def open(self, model: str = "gpt-4o", **settings: Any) -> LLM:
        values = {"model": model, "model_url": self.url, "model_key": KEY, **settings}
        return open_model(Settings.model_validate(values), None, {}, sleep=self.slept.append)


def answer(message: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o",
        "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        "usage": {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100},
    }


@pytest.fixture
def wire() -> Iterator[Wire]:
    state = Wire()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: Any) -> None:
            return

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            state.bodies.append(json.loads(body))
            state.headers.append({name.lower(): value for name, value in self.headers.items()})
            status, headers, reply = state.answers.pop(0)
            data = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
            self.send_response(status)
            for name, value in {"content-type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_tool_call_goes_there_and_back(wire: Wire) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "shell", "arguments": '{"command": "ls"}'}}
    wire.says(None, tool_calls=[call])
    history = (
        Message(role="system", content="be brief"),
        *ASK,
        Message(role="assistant", tool_calls=(ToolCall(id="c0", name="no such!", arguments="{malformed"),)),
        Message(role="tool", content="error", tool_call_id="c0"),
    )
    done = wire.open().complete(history, tools=[TOOL], max_tokens=77)
    assert done.message.tool_calls == (ToolCall(id="c1", name="shell", arguments='{"command": "ls"}'),)
    sent = wire.bodies[0]
    assert sent["tools"][0]["function"]["name"] == "shell"
    assert sent["max_tokens"] == 77
    assert [each["role"] for each in sent["messages"]] == ["system", "user", "assistant", "tool"]
    function = sent["messages"][2]["tool_calls"][0]["function"]
    assert function["name"] == "no_such_"
    assert json.loads(function["arguments"]) == {"malformed": "{malformed"}
    assert wire.headers[0]["authorization"] == f"Bearer {KEY}"
    assert not {name for name in sent if name.startswith("_")}


def test_usage_is_priced_by_the_list_and_unknown_models_are_free(wire: Wire) -> None:
    wire.says()
    wire.says()
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


@pytest.mark.parametrize("status", [429, 500, 503])
def test_passing_faults_are_waited_out(wire: Wire, status: int) -> None:
    wire.will(status, {"error": {"message": "later"}})
    wire.will(status, {"error": {"message": "later"}}, retry_after="7")
    wire.says()
    assert wire.open().complete(ASK).message.content == "hello"
    assert wire.slept == [FIRST_PAUSE, 7.0]
    assert len(wire.bodies) == 3


@pytest.mark.parametrize(("status", "code"), [(429, "model_rate_limited"), (500, "model_unavailable")])
def test_lasting_faults_end_after_a_few_attempts(wire: Wire, status: int, code: str) -> None:
    for _ in range(ATTEMPTS):
        wire.will(status, {"error": {"message": f"no, {KEY}"}})
    with pytest.raises(ModelError) as caught:
        wire.open().complete(ASK)
    assert caught.value.code == code
    assert caught.value.hint
    assert KEY not in str(caught.value)
    assert caught.value.__cause__ is None
    assert len(wire.bodies) == ATTEMPTS
    assert wire.slept == [2.0, 4.0, 8.0]


def test_a_wait_beyond_the_time_limit_is_not_begun(wire: Wire) -> None:
    wire.will(429, {"error": {"message": "slow down"}}, retry_after="3600")
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
    wire.will(status, {"error": {"message": message, "type": "x", "code": "y"}})
    with pytest.raises(ModelError) as caught:
        wire.open().complete(ASK)
    assert caught.value.code == code
    assert KEY[-4:] not in str(caught.value)
    assert wire.slept == []


@pytest.mark.parametrize("body", [b"<html>busy</html>", {"choices": []}, {}, [], b""])
def test_nonsense_instead_of_an_answer_is_an_unavailable_model(wire: Wire, body: Any) -> None:
    for _ in range(ATTEMPTS):
        wire.will(200, body)
    with pytest.raises(ModelError, match="model_unavailable"):
        wire.open().complete(ASK)


def test_a_server_that_hangs_is_given_up(wire: Wire) -> None:
    class Silent(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            gone.wait(20)

    gone = threading.Event()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Silent)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        wire.open()  # the import is not part of the time
        wire.url = f"http://127.0.0.1:{server.server_port}/v1"
        with pytest.raises(ModelError, match="model_unavailable"):
            wire.open().complete(ASK, seconds=2)
    finally:
        gone.set()
        server.shutdown()
        server.server_close()


def test_a_server_that_is_not_there_is_unavailable(wire: Wire) -> None:
    wire.url = "http://127.0.0.1:9/v1"
    with pytest.raises(ModelError, match="model_unavailable"):
        wire.open().complete(ASK)
    assert len(wire.slept) == ATTEMPTS - 1


def test_a_schema_is_asked_for_in_words_where_the_parameter_is_refused(wire: Wire) -> None:
    wire.says('{"label": "bug"}')
    llm = wire.open()
    assert llm.complete(ASK, schema=SCHEMA).message.content == '{"label": "bug"}'
    assert wire.bodies[0]["response_format"]["json_schema"]["schema"] == SCHEMA
    wire.will(400, {"error": {"message": "response_format is not supported"}})
    wire.says('```json\n{"label": "bug"}\n```')
    wire.says('{"label": "bug"}')
    assert llm.complete(ASK, schema=SCHEMA).message.content == '{"label": "bug"}'
    assert "response_format" not in wire.bodies[2]
    assert "JSON schema" in wire.bodies[2]["messages"][-1]["content"]
    llm.complete(ASK, schema=SCHEMA)
    assert "response_format" not in wire.bodies[3]


def test_counting_is_rather_too_high() -> None:
    llm = open_model(Settings(model="gpt-4o", model_url="http://127.0.0.1:9"), None, {})
    prose = "The quick brown fox jumps over the lazy dog. " * 20  # 10 tokens a sentence by GPT-4's tokenizer
    assert 200 <= llm.count([Message(role="user", content=prose)]) <= 400
    assert llm.count([Message(role="user", content="\u6f22" * 90)]) >= 90


@pytest.mark.parametrize("name", PROVIDERS)
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


def test_litellm_comes_late_alone_and_leaves_no_trace(tmp_path: Any) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CLEAN], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.splitlines() == ["[] True False", "model_unavailable False"], done.stderr
    assert done.stderr == ""
