"""Targets, addresses and ClientHellos of every spelling -> what the proxy decides; no socket is opened."""

from __future__ import annotations

import ipaddress
import re
import ssl

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bot.sandbox.egress.addresses import admitted
from bot.sandbox.egress.judge import Judgement, judge
from bot.sandbox.egress.sni import NotHelloError, server_name
from bot.types.network import Network

LISTED = Network(
    mode="restricted",
    allow=("pypi.org", "*.name.com", "git.example.org:8443", "http://deb.example.org", "http://mirror.corp:8080"),
    private=("mirror.corp",),
)
EVERYTHING = LISTED.changed(learn=True)


def connect(target: str, network: Network = LISTED) -> Judgement:
    return judge("CONNECT", target, network)


@pytest.mark.parametrize(
    "target",
    ["pypi.org:443", "PyPI.ORG:443", "pypi.org.:443", "a.name.com:443", "a.b.name.com:443", "git.example.org:8443"],
)
def test_listed_hosts_pass(target: str) -> None:
    judged = connect(target)
    assert (judged.verdict, judged.code) == ("allowed", "")
    assert f"{judged.host}:{judged.port}" == target.lower().replace(".:", ":")


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("evil.org:443", "host_not_allowed"),
        ("name.com:443", "host_not_allowed"),
        ("evilname.com:443", "host_not_allowed"),
        ("a.name.com.evil.org:443", "host_not_allowed"),
        ("pypi.org.evil.org:443", "host_not_allowed"),
        ("notpypi.org:443", "host_not_allowed"),
        ("sub.pypi.org:443", "host_not_allowed"),
        ("deb.example.org:443", "port_not_allowed"),
        ("pypi.org:22", "port_not_allowed"),
        ("pypi.org:80", "port_not_allowed"),
        ("git.example.org:443", "port_not_allowed"),
        ("pypi.org", "bad_request"),
        ("pypi.org:", "bad_request"),
        ("pypi.org:0", "bad_request"),
        ("pypi.org:0443", "bad_request"),
        ("pypi.org:+443", "bad_request"),
        ("pypi.org:65979", "bad_request"),
        ("pypi.org..:443", "bad_request"),
        (".name.com:443", "bad_request"),
        ("-.name.com:443", "bad_request"),
        ("user@pypi.org:443", "bad_request"),
        ("evil.org\\@pypi.org:443", "bad_request"),
        ("pypi.org%00.evil.org:443", "bad_request"),
        ("pypi.org\x00:443", "bad_request"),
        ("pypi.org\n:443", "bad_request"),
        ("pypi.org :443", "bad_request"),
        ("pypi。org:443", "bad_request"),
        ("pуpi.org:443", "bad_request"),
        ("１２７.0.0.1:443", "bad_request"),
        ("http://pypi.org:443", "address_literal"),
        ("127.0.0.1:443", "address_literal"),
        ("127.0.0.1.:443", "address_literal"),
        ("127.1:443", "address_literal"),
        ("2130706433:443", "address_literal"),
        ("0x7f000001:443", "address_literal"),
        ("0x7f.0x1:443", "address_literal"),
        ("0177.0.0.01:443", "address_literal"),
        ("[::1]:443", "address_literal"),
        ("::1:443", "address_literal"),
        ("[::ffff:127.0.0.1]:443", "address_literal"),
        ("[fe80::1%25eth0]:443", "address_literal"),
        ("", "bad_request"),
        (":443", "bad_request"),
    ],
)
def test_everything_else_is_denied(target: str, code: str) -> None:
    judged = connect(target)
    assert (judged.verdict, judged.code) == ("denied", code)


@pytest.mark.parametrize("spelling", ["127.0.0.1", "10.0.0.1", "0x7f.1"])
def test_an_address_is_refused_though_an_operator_lists_it(spelling: str) -> None:
    network = Network(mode="restricted", allow=(spelling,), private=(spelling,), learn=True)
    assert connect(f"{spelling}:443", network).code == "address_literal"


def plain(target: str, host: str | None = None, network: Network = LISTED) -> Judgement:
    return judge("GET", target, network, host_header=host)


def test_plain_requests_need_an_entry_of_their_own() -> None:
    judged = plain("http://deb.example.org/dists?x=1", "deb.example.org")
    assert (judged.verdict, judged.host, judged.port, judged.path) == ("allowed", "deb.example.org", 80, "/dists?x=1")
    assert plain("HTTP://Deb.Example.org:80", "deb.example.org").path == "/"
    assert plain("http://deb.example.org?q", None).path == "/?q"
    assert plain("http://mirror.corp:8080/").private
    assert not judged.private
    assert plain("http://pypi.org/").code == "plain_http"
    assert plain("http://deb.example.org:443/").code == "port_not_allowed"
    assert plain("http://mirror.corp/").code == "port_not_allowed"
    assert plain("http://evil.org/").code == "host_not_allowed"


@pytest.mark.parametrize(
    ("target", "host"),
    [
        ("http://deb.example.org/", "evil.org"),
        ("http://deb.example.org/", "deb.example.org:81"),
        ("http://deb.example.org/", "deb.example.org, evil.org"),
        ("http://deb.example.org/", ""),
        ("http://deb.example.org@evil.org/", None),
        ("http://evil.org@deb.example.org/", None),
        ("http://deb.example.org\\.evil.org/", None),
        ("http://deb.example.org#.evil.org/", None),
        ("http:///deb.example.org/", None),
        ("http:deb.example.org/", None),
        ("https://deb.example.org/", None),
        ("/dists", "deb.example.org"),
        ("*", "deb.example.org"),
        ("ftp://deb.example.org/", None),
    ],
)
def test_a_plain_request_with_two_readings_is_no_request(target: str, host: str | None) -> None:
    assert plain(target, host).code == "bad_request"


def test_a_route_is_reached_by_plain_http_on_port_80_alone() -> None:
    def ask(method: str, target: str, network: Network = LISTED) -> str:
        judged = judge(method, target, network, routes=("model.internal", "pypi.org"))
        assert judged.routed or judged.code == "host_not_allowed"
        return judged.code

    assert ask("POST", "http://model.internal/v1") == ""
    assert ask("POST", "http://model.internal:81/v1") == "port_not_allowed"
    assert ask("CONNECT", "model.internal:443", EVERYTHING) == "port_not_allowed"
    assert ask("CONNECT", "pypi.org:443") == "port_not_allowed"
    assert ask("POST", "http://other.internal/v1") == "host_not_allowed"


def test_learning_lets_names_through_and_says_so() -> None:
    assert connect("evil.org:22", EVERYTHING).verdict == "learned"
    assert connect("pypi.org:443", EVERYTHING).verdict == "allowed"
    assert plain("http://evil.org:81/", None, EVERYTHING).verdict == "learned"
    assert connect("user@evil.org:443", EVERYTHING).verdict == "denied"


def test_what_is_recorded_of_a_denied_target_is_harmless() -> None:
    assert plain("http://user:secret@evil.org/").host == "evil.org"
    assert connect("user:secret@evil.org:443").host == "evil.org"
    assert connect("::1:443").host == "[::1]"
    assert connect("::stop-commands::x:443").host == "??stop-commands??x"
    assert len(connect("a" * 5_000).host) == 255
    assert judge('GET"\n' + "X" * 90, "http://evil.org", LISTED).method == "GET??XXXXXXXXXXXXXXX"


BITS = st.sampled_from(
    ["pypi.org", "name.com", "evil", ".", ":", "443", "@", "/", "\\", "[", "]", "%", "\t", "x", "：", "。"]
)


@settings(deadline=None)
@given(st.one_of(st.text(), st.lists(BITS, max_size=8).map("".join)))
@example("pypi.org:443")
@example("a.name.com.:443")
@example("evilname.com:443")
def test_nothing_passes_but_what_is_on_the_list(target: str) -> None:
    if connect(target).verdict != "denied":
        label = r"[a-z0-9_]([a-z0-9_-]*[a-z0-9])?"
        assert re.fullmatch(rf"(pypi\.org|({label}\.)+name\.com)\.?:443|git\.example\.org\.?:8443", target.lower())
    for method in ("GET", "CONNECT"):
        judged = judge(method, target, LISTED)
        assert judged.host.isprintable()
        assert judged.host.isascii()
        assert len(judged.host) <= 255


@settings(deadline=None)
@given(st.text(max_size=20), st.text(max_size=20))
def test_no_text_around_the_name_leads_a_plain_request_elsewhere(before: str, after: str) -> None:
    judged = plain(f"http://{before}deb.example.org{after}")
    if judged.verdict == "allowed":
        assert (before, judged.host) == ("", "deb.example.org")
        assert not after or after[0] in "/?.:"


@settings(deadline=None)
@given(st.ip_addresses(v=4), st.sampled_from(["", "."]), st.integers(0, 6))
def test_no_spelling_of_an_address_passes(address: ipaddress.IPv4Address, dot: str, form: int) -> None:
    a, b, c, d = address.packed
    number = int(address)
    spelled = (
        str(address),
        str(number),
        hex(number),
        f"0{number:o}",
        f"{a}.{number & 0xFFFFFF}",
        f"{a:#x}.{b:#o}.{c}.{d:#x}".replace("0o", "0"),
        f"{a}.{b}.{(c << 8) + d:#X}",
    )[form]
    assert connect(f"{spelled}{dot}:443", EVERYTHING).code == "address_literal"
    assert plain(f"http://{spelled}{dot}/", None, EVERYTHING).code == "address_literal"


@settings(deadline=None)
@given(st.ip_addresses(v=6), st.booleans())
def test_no_ipv6_address_passes(address: ipaddress.IPv6Address, full: bool) -> None:
    spelled = address.exploded if full else str(address)
    for target in (f"[{spelled}]:443", f"{spelled}:443", f"[{spelled}%eth0]:443"):
        assert connect(target, EVERYTHING).code == "address_literal"


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:4700::1111", "::ffff:93.184.216.34", "64:ff9b::5db8:d822"])
def test_public_addresses_are_admitted(address: str) -> None:
    assert admitted(address)


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "192.168.1.1", "100.64.0.1", "::1", "fd12::1"])
def test_private_addresses_only_where_an_operator_says_so(address: str) -> None:
    assert not admitted(address)
    assert admitted(address, private=True)


@pytest.mark.parametrize(
    "address",
    [
        *("169.254.169.254", "168.63.129.16", "fd00:ec2::254", "100.100.100.200", "0.0.0.0", "255.255.255.255"),
        *("224.0.0.1", "240.0.0.1", "192.0.0.8", "198.18.0.1", "::", "ff02::1", "fe80::1", "fe80::1%eth0", "x", ""),
        *("::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1", "64:ff9b:1::1", "2001:db8::1"),
        *("::127.0.0.1", "2001:0:5ef5:79fb::1", "2606:4700::1%eth0", "fec0::1"),
    ],
)
def test_some_addresses_are_never_admitted(address: str) -> None:
    assert not admitted(address)
    assert not admitted(address, private=True)


@settings(deadline=None)
@given(st.ip_addresses(v=4))
def test_an_address_inside_another_is_judged_like_the_one_inside(inner: ipaddress.IPv4Address) -> None:
    packed = int(inner)
    for outer in (f"::ffff:{inner}", str(ipaddress.IPv6Address((0x64FF9B << 96) | packed))):
        for private in (False, True):
            assert admitted(outer, private=private) == admitted(str(inner), private=private)
    if admitted(str(inner)):
        assert inner.is_global
        assert not inner.is_multicast
    assert admitted(str(ipaddress.IPv6Address((0x2002 << 112) | (packed << 80) | 1))) == admitted(str(inner))


def hello(name: str | None) -> bytes:
    """Return the ClientHello that Python's own TLS sends for a server's name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    out = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return out.read()


def records(message: bytes, size: int) -> bytes:
    """Return a handshake message spread over records of `size` bytes."""
    parts = (message[at : at + size] for at in range(0, len(message), size))
    return b"".join(b"\x16\x03\x01" + len(part).to_bytes(2, "big") + part for part in parts)


def test_the_name_in_a_real_hello_is_read_and_no_part_of_it_is_enough() -> None:
    data = hello("pypi.org")
    assert server_name(data) == "pypi.org"
    assert [server_name(data[:end]) for end in range(len(data))] == [None] * len(data)


@settings(deadline=None)
@given(st.integers(1, 600))
def test_a_hello_may_be_spread_over_records(size: int) -> None:
    assert server_name(records(hello("pypi.org")[5:], size)) == "pypi.org"


@pytest.mark.parametrize(
    "data",
    [
        hello(None),
        b"GET / HTTP/1.1\r\n\r\n",
        b"SSH-2.0-x\r\n",
        b"\x16\x02",
        b"\x16\x03\x01\x00\x00",
        b"\x16\x03\x01\x00\x01\x02",
        b"\x16\x03\x01\xff\xff\x01\xff\xff\xff",
        b"\x80\x2e\x01\x03\x01",
        hello("pypi.org")[:-1].replace(b"pypi.org", b"pyp\xe9.org") + b"\x00",
        records(hello("pypi.org")[5:] + b"\x00", 10_000),
        records(b"\x01\x00\x3f\xf0" + b"\x00" * 16_000, 1)[:40_000],
    ],
    ids=range(11),
)
def test_what_is_no_hello_with_a_name_is_refused(data: bytes) -> None:
    with pytest.raises(NotHelloError):
        server_name(data)


def test_two_names_are_no_name() -> None:
    data = hello("pypi.org")
    entry = b"\x00\x00\x08pypi.org"
    listed = len(entry).to_bytes(2, "big") + entry
    extension = b"\x00\x00" + len(listed).to_bytes(2, "big") + listed
    assert data.count(extension) == 1
    for double in (extension * 2, b"\x00\x00\x00\x18\x00\x16" + entry * 2):
        grown = len(double) - len(extension)
        message = data[5:].replace(extension, double)
        at = 4 + 34 + 1 + message[38]
        at += 2 + int.from_bytes(message[at : at + 2], "big")
        at += 1 + message[at]
        length = int.from_bytes(message[at : at + 2], "big") + grown
        message = message[:at] + length.to_bytes(2, "big") + message[at + 2 :]
        message = b"\x01" + (len(message) - 4).to_bytes(3, "big") + message[4:]
        with pytest.raises(NotHelloError, match="one server's name"):
            server_name(records(message, 10_000))


@settings(deadline=None)
@given(st.binary(max_size=300), st.integers(0, 600))
def test_hostile_bytes_raise_one_error_only(noise: bytes, at: int) -> None:
    whole = hello("pypi.org")
    for data in (noise, whole[:at] + noise + whole[at + len(noise) :]):
        try:
            name = server_name(data)
        except NotHelloError:
            continue
        assert name is None or name.isascii()
