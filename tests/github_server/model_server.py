"""A script -> an OpenAI-compatible chat completions endpoint on loopback, plain or streamed, with planted faults.

    with ModelServer([tool("shell", {"argv": ["ls"]}), text("Done.")]) as model:
        litellm.completion(model="openai/scripted", api_base=f"{model.url}/v1", api_key="x", messages=...)

Every request takes the next item of the script: a ready `Reply`, a `Failure`, or a function of the request that makes
one. When the script is used up the server answers 500 and says so in `exhausted`.
"""

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from .door import Listener
from .exchange import Answer, Request

EVENTS = "text/event-stream; charset=utf-8"
PIECE = 16
"""Characters in one streamed piece."""


@dataclass(frozen=True)
class Reply:
    """An assistant's message; token numbers are estimated from the length when they are not given."""

    content: str | None = None
    tool_calls: tuple[tuple[str, str], ...] = ()
    """(name, arguments as text: not necessarily valid JSON)."""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    finish_reason: str | None = None


@dataclass(frozen=True)
class Failure:
    """An answer that is no message. Status 0 closes the connection without a word."""

    status: int = 500
    message: str = "The server had an error while processing your request"
    retry_after: int | None = None
    delay: float = 0.0
    raw: bytes | None = None
    """Sent as it is, instead of an error object."""
    then: Reply | None = None
    """After the delay, answer this after all."""


Item = Reply | Failure | Callable[[dict[str, Any]], Reply | Failure]


def text(content: str, **numbers: int) -> Reply:
    """A message of words."""
    return Reply(content, **numbers)  # type: ignore[arg-type]


def tool(name: str, arguments: dict[str, Any] | str, content: str | None = None) -> Reply:
    """One tool call; a string is sent as it is, so that malformed arguments can be tried."""
    return Reply(content, ((name, arguments if isinstance(arguments, str) else json.dumps(arguments)),))


def rate_limited(retry_after: int | None = None) -> Failure:
    """429."""
    return Failure(429, "Rate limit reached", retry_after)


def bad_key() -> Failure:
    """401 in the words by which clients know it."""
    return Failure(401, "Incorrect API key provided: x. You can find your API key at https://example.invalid.")


def malformed(status: int = 200) -> Failure:
    """A body that is not JSON."""
    return Failure(status, raw=b'{"id": "chatcmpl-1", "choices": [')


def slow(seconds: float, then: Reply) -> Failure:
    """A reply that comes late."""
    return Failure(delay=seconds, then=then)


@dataclass
class Asked:
    """One request to the model."""

    body: dict[str, Any]
    headers: dict[str, str]
    at: float = field(default_factory=time.monotonic)

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The conversation so far."""
        found: list[dict[str, Any]] = self.body["messages"]
        return found


class ModelServer:
    """Owns a listener and its thread; ends with the `with` block."""

    def __init__(self, script: Iterable[Item] = ()) -> None:
        self.script = list(script)
        self.requests: list[Asked] = []
        self.exhausted = 0
        self.numbers = itertools.count(1)
        self.lock = threading.Lock()
        self.listener = Listener(self.handle)

    def __enter__(self) -> Self:
        threading.Thread(target=self.listener.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.listener.shutdown()
        self.listener.server_close()

    @property
    def url(self) -> str:
        """Without `/v1` and without a slash at the end."""
        return self.listener.url

    def handle(self, request: Request) -> Answer | None:
        """One request to any path."""
        if request.method == "GET" and request.path == "/v1/models":
            return Answer(200, {"object": "list", "data": [{"id": "scripted", "object": "model", "owned_by": "tests"}]})
        if request.method != "POST" or request.path != "/v1/chat/completions":
            return error_answer(404, f"Unknown request URL: {request.method} {request.path}")
        if not request.headers.get("authorization", "").startswith("Bearer "):
            return error_answer(401, "You didn't provide an API key")
        try:
            body = json.loads(request.raw)
            wrong = mistake(body)
        except ValueError:
            wrong = "We could not parse the JSON body of your request"
        if wrong is not None:
            return error_answer(400, wrong)
        with self.lock:
            self.requests.append(Asked(body, request.headers))
            item: Item | None = self.script.pop(0) if self.script else None
            self.exhausted += item is None
        if item is None:
            return error_answer(500, "The script has no more replies")
        return self.play(body, item if isinstance(item, Reply | Failure) else item(body))

    def play(self, body: dict[str, Any], item: Reply | Failure) -> Answer | None:
        """A reply or a failure as an answer; None closes the connection."""
        if isinstance(item, Failure):
            time.sleep(item.delay)
            if item.then is None:
                return failure_answer(item)
            item = item.then
        made = completion(body, item, f"chatcmpl-{next(self.numbers)}")
        return streamed(body, made) if body.get("stream") else Answer(200, made)


def error_answer(status: int, message: str, headers: dict[str, str] | None = None) -> Answer:
    """The error object of the OpenAI API."""
    kind = {400: "invalid_request_error", 401: "invalid_request_error", 429: "rate_limit_error"}.get(
        status, "server_error"
    )
    return Answer(
        status,
        {
            "error": {
                "message": message,
                "type": kind,
                "param": None,
                "code": "invalid_api_key" if status == 401 else None,
            }
        },
        headers or {},
    )


def failure_answer(failure: Failure) -> Answer | None:
    """What a failure sends."""
    if failure.status == 0:
        return None
    headers = {} if failure.retry_after is None else {"Retry-After": str(failure.retry_after)}
    if failure.raw is not None:
        return Answer(failure.status, failure.raw, headers)
    return error_answer(failure.status, failure.message, headers)


def mistake(body: Any) -> str | None:
    """What the real API would refuse: an empty conversation, or tool calls and their results that do not pair up."""
    messages = body.get("messages") if isinstance(body, dict) else None
    if not isinstance(messages, list) or not messages or not isinstance(body.get("model"), str):
        return "you must provide model and messages"
    open_calls: set[str] = set()
    for message in messages:
        if message.get("role") == "tool":
            if message.get("tool_call_id") not in open_calls:
                return "messages with role 'tool' must be a response to a preceding message with 'tool_calls'"
            open_calls.remove(message["tool_call_id"])
            continue
        if open_calls:
            break
        open_calls = {call["id"] for call in message.get("tool_calls") or ()}
    if open_calls:
        return f"tool_call_ids did not have response messages: {', '.join(sorted(open_calls))}"
    return None


def completion(body: dict[str, Any], reply: Reply, number: str) -> dict[str, Any]:
    """A `chat.completion` object."""
    message: dict[str, Any] = {"role": "assistant", "content": reply.content}
    if reply.tool_calls:
        message["tool_calls"] = [
            {"id": f"call_{number}_{index}", "type": "function", "function": {"name": name, "arguments": arguments}}
            for index, (name, arguments) in enumerate(reply.tool_calls)
        ]
    asked = reply.prompt_tokens if reply.prompt_tokens is not None else len(json.dumps(body["messages"])) // 4
    said = reply.completion_tokens if reply.completion_tokens is not None else len(json.dumps(message)) // 4
    finish = reply.finish_reason or ("tool_calls" if reply.tool_calls else "stop")
    return {
        "id": number,
        "object": "chat.completion",
        "created": int(time.time()),
        "model": body["model"],
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish}],
        "usage": {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said},
    }


def pieces(message: dict[str, Any]) -> Iterable[dict[str, Any]]:
    """A message as the deltas of a stream."""
    yield {"role": "assistant", "content": ""}
    content = message["content"] or ""
    for at in range(0, len(content), PIECE):
        yield {"content": content[at : at + PIECE]}
    for index, call in enumerate(message.get("tool_calls", ())):
        arguments = call["function"]["arguments"]
        yield {"tool_calls": [{"index": index, **call, "function": call["function"] | {"arguments": ""}}]}
        for at in range(0, len(arguments), PIECE):
            yield {"tool_calls": [{"index": index, "function": {"arguments": arguments[at : at + PIECE]}}]}


def streamed(body: dict[str, Any], made: dict[str, Any]) -> Answer:
    """The same completion as server-sent events; usage last, when it was asked for."""
    frame = {name: made[name] for name in ("id", "created", "model")} | {"object": "chat.completion.chunk"}
    choice = made["choices"][0]
    chunks = [
        frame | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        for delta in pieces(choice["message"])
    ]
    chunks.append(frame | {"choices": [{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}]})
    if (body.get("stream_options") or {}).get("include_usage"):
        chunks.append(frame | {"choices": [], "usage": made["usage"]})
    lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
    return Answer(200, "".join([*lines, "data: [DONE]\n\n"]).encode(), content_type=EVENTS)
