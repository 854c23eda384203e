"""Known secrets are found however they are written, and nothing else is touched."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pandas_genai.redaction import MARK, Redactor, public_url, url_secrets

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
PREFIXES = ["", "sk-", "sk-proj-", "sk-ant-api03-", "sk-or-v1-", "gsk_"]


@st.composite
def keys(draw):
    # Letters that repeat would make a fragment of a key out of an innocent text.
    body = draw(st.permutations(LETTERS))
    length = draw(st.integers(16, 48))
    extra = draw(st.sampled_from(["", "-_", "/+=", '"\\', "é"]))
    return draw(st.sampled_from(PREFIXES)) + "".join(body[:length]) + extra


def every_u(text):
    return "".join(f"\\u{ord(letter):04x}" for letter in text)


def every_percent(text):
    return "".join(f"%{byte:02X}" for byte in text.encode())


WAYS = {
    "raw": str,
    "repr": repr,
    "json": json.dumps,
    "json twice": lambda key: json.dumps(json.dumps(key)),
    "url": lambda key: quote(key, safe=""),
    "percent": every_percent,
    "escapes": every_u,
    "escapes twice": lambda key: every_u(key).replace("\\", "\\\\"),
    "php": lambda key: json.dumps(key).replace("/", "\\/"),
    "base64": lambda key: base64.b64encode(key.encode()).decode(),
    "urlsafe": lambda key: base64.urlsafe_b64encode(key.encode()).decode(),
    "bearer": lambda key: base64.b64encode(f"Bearer {key}".encode()).decode(),
    "basic": lambda key: base64.b64encode(f"me:{key} and more".encode()).decode(),
}


def fragments(key):
    body = next(key[len(prefix) :] for prefix in reversed(PREFIXES) if key.startswith(prefix))
    return [body[start : start + 12] for start in range(len(body) - 11)]


@settings(max_examples=60, deadline=None)
@given(keys(), st.sampled_from(sorted(WAYS)), st.text(max_size=30), st.text(max_size=30))
def test_no_fragment_of_a_secret_stays_in_whatever_writing(key, way, before, after):
    hostile = f"{before} {WAYS[way](key)} {after}"
    cut = Redactor([key]).text(hostile)
    for written in {key, json.dumps(key)[1:-1], quote(key, safe="")}:
        assert not any(part in cut for part in fragments(written))
    for kind in ("base64", "urlsafe"):
        encoded = WAYS[kind](key)
        assert not any(encoded[at : at + 12] in cut for at in range(2, len(encoded) - 14))
    assert not any(
        WAYS[kind](part) in cut for part in fragments(key) for kind in ("escapes", "percent")
    )
    assert MARK in cut


@settings(max_examples=50, deadline=None)
@given(keys(), st.data())
def test_twelve_characters_are_enough_and_eleven_are_not(key, data):
    start = data.draw(st.integers(0, len(key) - 12))
    part = key[start : start + 12]
    label = f"a label {part} b"
    expected = label if any(part in prefix for prefix in PREFIXES) else f"a label {MARK} b"
    assert Redactor([key]).text(label) == expected
    assert Redactor([key]).text(f"a label {part[:11]} b") == f"a label {part[:11]} b"


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    )
)
@example({"label": "sk-ant-api03-", "other": "sk-proj-", "path": "a\\/b", "é": "\\u0073"})
def test_what_holds_no_secret_is_not_touched(value):
    gate = Redactor(["sk-ant-api03-Zq7Wv3Xk9Jp2Rt5Yb8Nc4Mf6", "me:pw", "k"])
    raw = json.dumps(value).encode()
    assert gate.data(raw) is raw
    assert gate.value(value) == value


@settings(max_examples=40, deadline=None)
@given(keys(), st.sampled_from(["raw", "json", "escapes", "base64", "percent", "php"]))
def test_json_stays_json(key, way):
    written = WAYS[way](key)
    inner = (
        written
        if written.startswith('"')
        else f'"{written}"'
        if way == "escapes"
        else json.dumps(written)
    )
    raw = f'{{"a": [{inner}, 1], "b": "naïve\\u00e9"}}'.encode()
    cut = json.loads(Redactor([key]).data(raw))
    assert cut["b"] == "naïveé"
    assert MARK in cut["a"][0]


def test_a_value_is_walked():
    key = "sk-proj-Zq7Wv3Xk9Jp2Rt5Yb8"
    found = Redactor([key]).value({key: [key, ("x", 1, None)]})
    assert key[8:] not in json.dumps(found)
    assert found[next(iter(found))][1] == ["x", 1, None]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://me:pw@host/v1", "https://me:***@host/v1"),
        ("at http://pw@host:9/ it is", "at http://***@host:9/ it is"),
        ("https://host/v1?key=pw&x=1", "https://host/v1?key=***&x=1"),
        ("authorization: Bearer pw.", "authorization: Bearer ***."),
        ("Basic bWU6cHc=", "Basic ***"),
        ("the pw is a word, and pwd too", "the pw is a word, and pwd too"),
        ("https://pw.example/pw?key=pwd", "https://pw.example/pw?key=pwd"),
    ],
)
def test_a_short_secret_is_found_in_headers_and_urls_only(text, expected):
    gate = Redactor(url_secrets("https://me:pw@host?key=pw"))
    assert gate.text(text).replace("***:***", "***") == expected.replace("me:***", "me:***")
    assert gate.header("pw") == MARK
    assert gate.header("req_pw1") == "req_pw1"


def test_headers():
    key = "sk-proj-Zq7Wv3Xk9Jp2Rt5Yb8"
    raw = [(b"X-Request-ID", f"req {key}".encode()), (b"Retry-After", b"3"), (b"x", "é".encode())]
    found = Redactor([key]).headers(raw)
    assert found["retry-after"] == "3"
    assert MARK in found["x-request-id"]
    assert Redactor([]).headers(raw)["x"] == "é"
    assert Redactor(["pw"]).headers([(b"a", b"pw")]) == {"a": MARK}


def test_odd_bytes():
    gate = Redactor(["sk-proj-Zq7Wv3Xk9Jp2Rt5Yb8"])
    for raw in (b"", b"a", b"abc", b"\xff\xfe", b"\\u00", b"%", b"%7", b"\\/" * 3):
        assert gate.data(raw) == raw
    assert gate.text("\ud800 sk-proj-Zq7Wv3Xk9Jp2Rt5Yb8").startswith("\ud800 ")
    assert "é" in Redactor(["ééééééééééééééééé"]).text("sé " + "é" * 17 + " é")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:pw@host.example:8443/v1?key=abc#x", "https://host.example:8443/v1"),
        ("https://a@b@host/v1", "https://host/v1"),
        ("http://[::1]:9/v1", "http://[::1]:9/v1"),
        ("me:pw@host/v1?key=1", "host/v1"),
        ("", ""),
    ],
)
def test_addresses(url, shown):
    assert public_url(url) == shown
    assert public_url(shown) == shown


def test_what_is_secret_in_an_address():
    found = set(url_secrets("https://me:p%40w@host/v1?key=a%20b&flag&x="))
    assert found == {"p@w", "me:p@w", "a b", "flag"}
    assert set(url_secrets("https://token@host")) == {"token", "token:"}
