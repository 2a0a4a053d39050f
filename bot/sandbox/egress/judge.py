"""The target of a request and a sandbox's network -> a judgement: let through, learned or denied, and why.

Pure. What is judged is the parsed target, and what was parsed is what is connected to: nothing reads the text twice.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from bot.types.network import Network, Verdict

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
"""A name whose last label is one of these is an IPv4 address in some spelling. Source: WHATWG URL, host parsing."""
_SHOWN = re.compile(r"[^A-Za-z0-9._%*-]")
_SHOWN_ADDRESS = re.compile(r"\[?[0-9A-Fa-f:.]+\]?")
_SPELLED = re.compile(r"[^A-Za-z-]")


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is to become of a request, and what was understood of it."""

    verdict: Verdict
    code: str
    """Why it is denied; empty if it is not."""
    method: str
    """At most 20 letters."""
    host: str
    """Lower case, without a trailing dot; where it is denied: what was asked for, made harmless."""
    port: int
    plain: bool = False
    """Plain HTTP; a tunnel otherwise."""
    path: str = ""
    """What a plain request asks the host for."""
    private: bool = False
    """Its addresses may be private."""
    routed: bool = False
    """It is led to a service of ours instead of the network."""


@dataclass(frozen=True, slots=True)
class _Target:
    host: str
    port: int
    plain: bool
    path: str = ""


@dataclass(frozen=True, slots=True)
class _Rule:
    name: str
    port: int
    plain: bool


class _UnfitError(ValueError):
    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def judge(
    method: str, target: str, network: Network, *, host_header: str | None = None, routes: Collection[str] = ()
) -> Judgement:
    """Judge a CONNECT to `host:port`, or a plain request for `http://host[:port]/path`.

    `host_header` must name the same host and port as the target of a plain request; None if there is no such header.
    A name in `routes` is reached by plain HTTP on port 80 and by nothing else.
    """
    spelled = _SPELLED.sub("?", method[:20])
    try:
        asked = _parse(method, target)
        if asked.plain and host_header is not None and _authority(host_header, 80) != (asked.host, asked.port):
            raise _UnfitError("bad_request")
    except _UnfitError as unfit:
        host, port = _shown(method, target)
        return Judgement("denied", unfit.code, spelled, host, port, plain=method != "CONNECT")
    routed = asked.host in routes
    code = _code_of_route(asked) if routed else _code(asked, network.allow)
    learned = bool(code) and network.learn and not routed
    return Judgement(
        verdict="learned" if learned else "denied" if code else "allowed",
        code="" if learned else code,
        method=spelled,
        host=asked.host,
        port=asked.port,
        plain=asked.plain,
        path=asked.path,
        private=any(_covers(rule.name, asked.host) for rule in _rules(network.private)),
        routed=routed,
    )


def host_name(text: str) -> str | None:
    """Return `text` as the lower-case name of a host without a trailing dot; None if it is not one."""
    if not text.isascii():
        return None
    name = text.lower().removesuffix(".")
    if len(name) > 253 or not _NAME.fullmatch(name) or _NUMBER.fullmatch(name.rpartition(".")[2]):
        return None
    return name


def harmless(text: str) -> str:
    """Return at most 255 characters of `text`, without any that a log, a terminal, YAML or a job's parser acts on."""
    return _SHOWN.sub("?", text[:255])


def _code(asked: _Target, allow: Iterable[str]) -> str:
    near = [rule for rule in _rules(allow) if _covers(rule.name, asked.host)]
    fitting = [rule for rule in near if rule.plain == asked.plain]
    if not near:
        return "host_not_allowed"
    if not fitting:
        return "plain_http" if asked.plain else "port_not_allowed"
    return "" if any(rule.port == asked.port for rule in fitting) else "port_not_allowed"


def _code_of_route(asked: _Target) -> str:
    return "" if asked.plain and asked.port == 80 else "port_not_allowed"


def _rules(patterns: Iterable[str]) -> Iterable[_Rule]:
    for pattern in patterns:
        plain = pattern.startswith("http://")
        name, _, port = pattern.removeprefix("http://").partition(":")
        yield _Rule(name, int(port) if port else 80 if plain else 443, plain)


def _covers(pattern: str, host: str) -> bool:
    if pattern.startswith("*."):
        # The dot stays: `evilname.com` does not end in `.name.com`, nor does `name.com` itself.
        return host.endswith(pattern[1:])
    return host == pattern


def _parse(method: str, target: str) -> _Target:
    if not target.isascii() or not target.isprintable() or " " in target:
        raise _UnfitError("bad_request")
    if method == "CONNECT":
        host, port = _authority(target, None)
        return _Target(host, port, plain=False)
    if target[:7].lower() != "http://" or "#" in target:
        raise _UnfitError("bad_request")
    authority, rest = _split(target[7:])
    host, port = _authority(authority, 80)
    return _Target(host, port, plain=True, path=rest if rest.startswith("/") else f"/{rest}")


def _split(rest: str) -> tuple[str, str]:
    """Cut what follows `http://` where the authority ends. Done here: the library's parser drops characters."""
    end = min((at for at in (rest.find("/"), rest.find("?")) if at >= 0), default=len(rest))
    return rest[:end], rest[end:]


def _authority(text: str, default: int | None) -> tuple[str, int]:
    """Return host and port of `host[:port]`; a `default` of None demands a port."""
    host, port = _cut_port(text)
    if host.startswith("[") or ":" in host:
        raise _UnfitError("address_literal")
    if port is None:
        port = str(default or "")
    if host.isascii() and _NUMBER.fullmatch(host.lower().removesuffix(".").rpartition(".")[2]):
        raise _UnfitError("address_literal")
    name = host_name(host)
    if name is None or not _PORT.fullmatch(port) or int(port) > 65_535:
        raise _UnfitError("bad_request")
    return name, int(port)


def _cut_port(text: str) -> tuple[str, str | None]:
    if text.startswith("[") and text.endswith("]"):
        return text, None
    host, colon, port = text.rpartition(":")
    return (host, port) if colon else (text, None)


def _shown(method: str, target: str) -> tuple[str, int]:
    """Return what was asked for as harmless text."""
    text = target if method == "CONNECT" else _split(target[7:])[0] if target[:7].lower() == "http://" else target
    # Nothing before an @ is kept: that is where passwords stand.
    host, port = _cut_port(text.rpartition("@")[2][:400])
    number = int(port) if port and _PORT.fullmatch(port) and int(port) <= 65_535 else 0
    if ":" in host and _SHOWN_ADDRESS.fullmatch(host):
        return f"[{host.strip('[]')}]"[:255], number
    return harmless(host), number
