"""The scripted model server, reached through the real litellm."""

from typing import Any

import httpx
import pytest

from bot.llm import library
from tests.github_server.model_server import (
    Failure,
    Item,
    ModelServer,
    Reply,
    bad_key,
    malformed,
    rate_limited,
    slow,
    text,
    tool,
)

ASK = [{"role": "user", "content": "What is in this folder?"}]
SHELL = {
    "type": "function",
    "function": {
        "name": "shell",
        "description": "Run a command",
        "parameters": {"type": "object", "properties": {"argv": {"type": "array", "items": {"type": "string"}}}},
    },
}


@pytest.fixture(scope="module")
def litellm() -> Any:
    """The real one, imported once: it takes seconds."""
    return library.litellm()


def ask(litellm: Any, model: ModelServer, **options: Any) -> Any:
    """One completion through litellm."""
    fixed = {"model": "openai/scripted", "api_base": f"{model.url}/v1", "api_key": "x", "max_retries": 0}
    return litellm.completion(**fixed | {"messages": ASK, "tools": [SHELL], "_skip_mcp_handler": True} | options)


def test_litellm_gets_tool_calls_words_and_usage(litellm: Any) -> None:
    def answer(request: dict[str, Any]) -> Reply:
        return text(f"I saw {request['messages'][-1]['content']}", prompt_tokens=100, completion_tokens=7)

    with ModelServer([tool("shell", {"argv": ["ls"]}), answer]) as model:
        first = ask(litellm, model).choices[0]
        call = first.message.tool_calls[0]
        assert (first.finish_reason, call.function.name) == ("tool_calls", "shell")
        assert call.function.arguments == '{"argv": ["ls"]}'
        result = {"role": "tool", "tool_call_id": call.id, "content": "a.py"}
        second = ask(litellm, model, messages=[*ASK, first.message.model_dump(), result])
        assert second.choices[0].message.content == "I saw a.py"
        assert (second.usage.prompt_tokens, second.usage.completion_tokens, second.usage.total_tokens) == (100, 7, 107)
        assert [len(request.messages) for request in model.requests] == [1, 3]
        assert model.requests[0].body["tools"] == [SHELL]
        assert model.requests[0].headers["authorization"] == "Bearer x"


def test_litellm_puts_a_stream_together(litellm: Any) -> None:
    said = "A sentence that is longer than one piece, with ünïcode. "
    with ModelServer([tool("shell", {"argv": ["ls", "-la", "/a/long/path"]}, content=said)]) as model:
        chunks = list(ask(litellm, model, stream=True, stream_options={"include_usage": True}))
        whole = litellm.stream_chunk_builder(chunks, messages=ASK)
        assert whole.choices[0].message.content == said
        assert whole.choices[0].message.tool_calls[0].function.arguments == '{"argv": ["ls", "-la", "/a/long/path"]}'
        assert whole.usage.completion_tokens > 0
        assert len(chunks) > 5


@pytest.mark.parametrize(("item", "error"), [
    (rate_limited(7), "RateLimitError"),
    (Failure(500), "InternalServerError"),
    (Failure(0), "InternalServerError"),
    (bad_key(), "AuthenticationError"),
    (malformed(), "InternalServerError"),
])  # fmt: skip
def test_faults_reach_litellm_as_errors_and_the_next_request_gets_the_next_item(
    litellm: Any, item: Item, error: str
) -> None:
    with ModelServer([item, text("fine")]) as model:
        with pytest.raises(getattr(litellm.exceptions, error)):
            ask(litellm, model)
        assert ask(litellm, model).choices[0].message.content == "fine"
        assert len(model.requests) == 2


def test_a_slow_reply_meets_the_timeout_of_the_client(litellm: Any) -> None:
    with ModelServer([slow(1.0, text("late")), slow(0.1, text("in time"))]) as model:
        with pytest.raises(litellm.exceptions.Timeout):
            ask(litellm, model, timeout=0.3)
        assert ask(litellm, model, timeout=5).choices[0].message.content == "in time"


def test_retry_after_is_sent_and_an_empty_script_says_so() -> None:
    body = {"model": "scripted", "messages": ASK}
    with ModelServer([rate_limited(7)]) as model:
        where, key = f"{model.url}/v1/chat/completions", {"Authorization": "Bearer x"}
        assert httpx.post(where, json=body, headers=key).headers["retry-after"] == "7"
        assert httpx.post(where, json=body, headers=key).json()["error"]["message"] == "The script has no more replies"
        assert model.exhausted == 1
        assert httpx.post(where, json=body).status_code == 401
        assert httpx.post(where, json={"model": "scripted"}, headers=key).status_code == 400


def test_tool_calls_and_their_results_must_pair_up() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "shell", "arguments": "{}"}}
    said = {"role": "assistant", "content": None, "tool_calls": [call]}
    result = {"role": "tool", "tool_call_id": "c1", "content": "ok"}
    cases: dict[int, list[Any]] = {
        200: [[*ASK, said, result], [*ASK, said, result, said, result]],
        400: [[*ASK, said], [*ASK, result], [*ASK, said, *ASK, result], [*ASK, said, result, result]],
    }
    with ModelServer([text("ok")] * 2) as model:
        for status, conversations in cases.items():
            for messages in conversations:
                asked = {"model": "scripted", "messages": messages}
                key = {"Authorization": "Bearer x"}
                assert httpx.post(f"{model.url}/v1/chat/completions", json=asked, headers=key).status_code == status
