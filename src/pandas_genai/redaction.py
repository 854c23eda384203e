"""Known secrets taken out of text from outside; addresses without what only their owner may see."""

from __future__ import annotations

import base64
import functools
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus, unquote, urlsplit

import numpy as np
import numpy.typing as npt

__all__ = ["MARK", "Redactor", "public_url", "redactor", "url_secrets"]

MARK = "***"
"""What stands in the place of a secret."""

_FRAGMENT = 12
"""Characters of a secret that are taken out wherever they stand together."""
_SHORTEST = 16
"""A shorter secret may be an ordinary word: it is taken out of headers and URLs only."""
_WORD = 4
_SLOTS_BITS = 16
_NO_WORDS = np.zeros(0, np.uint32)
_SPREAD = np.uint32(2654435761)  # Knuth's multiplicative hash

_PUBLIC_PREFIX = re.compile(
    r"sk-ant-(?:api|admin|oat|sid)\d\d-|sk-(?:proj|svcacct|admin|or-v1|None)-|sk-|gsk_|xai-|hf_"
)
"""What every key of a vendor begins with: no secret, and perhaps a label."""

# Escapes of characters that keys consist of. No encoder writes them (but for .NET, a plus), so
# they mean that somebody hides something, and the search sees through them.
_KEY_CHARACTER = rb"(?:2[bdefBDEF]|3[0-9adAD]|[46][1-9a-fA-F]|[57][0-9aA]|5[fF]|7[eE])"
_HIDDEN = {
    b"\\u00": re.compile(rb"\\u00" + _KEY_CHARACTER),
    b"%": re.compile(b"%" + _KEY_CHARACTER),
    b"\\/": re.compile(rb"\\/"),
}
_HIDING = re.compile(rb"\\+u00([2-7][0-9a-fA-F])|%([2-7][0-9a-fA-F])|\\+(/)")
_KEPT_ESCAPED = (b'"', b"\\")


def public_url(url: str) -> str:
    """Return an address without user info, query and fragment: fit to be stored and shown.

    Examples
    --------
    >>> public_url("https://me:pw@host.example:8443/v1?key=abc")
    'https://host.example:8443/v1'
    """
    parts = urlsplit(url)
    if not parts.netloc:
        return url.partition("?")[0].partition("#")[0].rpartition("@")[2]
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def url_secrets(url: str) -> Iterator[str]:
    """Yield what an address holds that is nobody else's business."""
    parts = urlsplit(url)
    info = parts.netloc.rpartition("@")[0]
    if info:
        name, colon, password = info.partition(":")
        # A name without a password is how some servers take a key.
        yield unquote(password if colon else name)
        yield f"{unquote(name)}:{unquote(password)}"
    for pair in parts.query.split("&"):
        name, equals, value = pair.partition("=")
        value = value if equals else name
        if value:
            yield unquote(value)


@functools.lru_cache(maxsize=64)
def redactor(secrets: frozenset[str]) -> Redactor:
    """Return the redactor of some secrets; making one takes a millisecond."""
    return Redactor(secrets)


class Redactor:
    """Takes known secrets out of bytes, text, headers and JSON values.

    A secret of 16 characters or more is found raw, escaped, URL-encoded and base64-encoded
    (at each of the three offsets), whole or in fragments of 12 characters. A shorter one is
    found as a whole, in header values, after ``Bearer`` and in URLs.

    Parameters
    ----------
    secrets : iterable of str
        Keys and passwords; the empty ones are passed over.

    Notes
    -----
    Any 12 bytes hold a whole word of four at a multiple of four. A text none of whose aligned
    words stands in a secret is done: 2 KB take some 20 microseconds, as parsing their JSON
    does, however many secrets and encodings there are.

    Examples
    --------
    >>> gate = Redactor(["sk-proj-0123456789abcdef"])
    >>> gate.text("Incorrect API key provided: sk-proj-0123456789abcdef.")
    'Incorrect API key provided: ***.'
    >>> gate.text("The prefix is sk-proj-.")
    'The prefix is sk-proj-.'
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        found = {secret for secret in secrets if secret}
        long = [secret for secret in found if len(secret) >= _SHORTEST]
        self._grams = frozenset(gram for secret in long for gram in _grams(secret))
        shifted = [gram[start:] for gram in self._grams for start in range(_FRAGMENT - _WORD + 1)]
        self._words = frozenset(int(_words(gram)[0]) for gram in shifted)
        self._slots = np.zeros(1 << _SLOTS_BITS, bool)
        self._slots[_slots(np.array(list(self._words), np.uint32))] = True
        short = found.difference(long)
        spelled = "|".join(sorted({re.escape(form) for one in short for form in _short_forms(one)}))
        self._short = _short_patterns(spelled) if spelled else None

    def data(self, raw: bytes) -> bytes:
        """Return bytes from outside without the secrets; they remain JSON where they were."""
        if self._short is not None:
            raw = self._without_short(raw)
        if not self._words:
            return raw
        if any(sign in raw and pattern.search(raw) for sign, pattern in _HIDDEN.items()):
            plain = _HIDING.sub(_revealed, raw)
            cut = self._cut(plain)
            if cut != plain:
                return cut
        return self._cut(raw)

    def text(self, text: str) -> str:
        """Return a text without the secrets."""
        raw = text.encode("utf-8", "surrogatepass")
        cut = self.data(raw)
        return text if cut is raw or cut == raw else cut.decode("utf-8", "surrogatepass")

    def header(self, value: str) -> str:
        """Return the value of a header without the secrets, short ones included."""
        if self._short is not None:
            value = self._short[1].sub(MARK, value)
        return self.text(value)

    def headers(self, raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
        """Return headers by their names in small letters, without the secrets."""
        pairs = list(raw)
        joined = b"\n".join([value for _, value in pairs])
        found = {
            name.decode("latin-1").lower(): value.decode("utf-8", "replace")
            for name, value in pairs
        }
        if self._short is None and self.data(joined) == joined:
            return found
        return {name: self.header(value) for name, value in found.items()}

    def value(self, value: Any) -> Any:
        """Return a JSON value whose texts and keys are without the secrets."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.value(name): self.value(inner) for name, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(inner) for inner in value]
        return value

    def _without_short(self, raw: bytes) -> bytes:
        assert self._short is not None
        if b"://" in raw or b"earer " in raw or b"asic " in raw:
            return self._short[0].sub(rb"\g<1>" + MARK.encode(), raw)
        return raw

    def _cut(self, raw: bytes) -> bytes:
        """Return the bytes with the mark in the place of every run of fragments."""
        parts, done = [], 0
        for start, end in self._runs(raw):
            parts += [raw[done:start], MARK.encode()]
            done = end
        return b"".join([*parts, raw[done:]]) if parts else raw

    def _runs(self, raw: bytes) -> Iterator[tuple[int, int]]:
        starts: set[int] = set()
        words = _words(raw)
        for number in self._slots.take(_slots(words)).nonzero()[0].tolist():
            if int(words[number]) in self._words:
                last = number * _WORD
                first = max(0, last - (_FRAGMENT - _WORD))
                starts.update(
                    start
                    for start in range(first, last + 1)
                    if raw[start : start + _FRAGMENT] in self._grams
                )
        run: tuple[int, int] | None = None
        for start in sorted(starts):
            if run is not None and start <= run[1]:
                run = run[0], start + _FRAGMENT
                continue
            if run is not None:
                yield _whole_characters(raw, *run)
            run = start, start + _FRAGMENT
        if run is not None:
            yield _whole_characters(raw, *run)


def _words(raw: bytes) -> npt.NDArray[np.uint32]:
    """Return the words at the multiples of four."""
    return np.frombuffer(raw, np.uint32, len(raw) // _WORD) if raw else _NO_WORDS


def _slots(words: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    return (words * _SPREAD) >> np.uint32(32 - _SLOTS_BITS)


def _whole_characters(raw: bytes, start: int, end: int) -> tuple[int, int]:
    while start and raw[start] & 0xC0 == 0x80:
        start -= 1
    while end < len(raw) and raw[end] & 0xC0 == 0x80:
        end += 1
    return start, end


def _grams(secret: str) -> Iterator[bytes]:
    public = _PUBLIC_PREFIX.match(secret)
    prefix = public.group().encode() if public else b""
    for form in _forms(secret):
        for start in range(len(form) - _FRAGMENT + 1):
            gram = form[start : start + _FRAGMENT]
            if gram not in prefix:
                yield gram


def _forms(secret: str) -> set[bytes]:
    """Return the ways in which a secret may be written."""
    escaped = json.dumps(secret)[1:-1]
    texts = {secret, repr(secret)[1:-1], escaped, json.dumps(escaped)[1:-1], *_urls(secret)}
    return {text.encode("utf-8", "surrogatepass") for text in texts} | set(_base64(secret))


def _urls(secret: str) -> set[str]:
    raw = secret.encode("utf-8", "surrogatepass")
    return {secret, quote(raw, safe=""), quote_plus(raw)}


def _short_forms(secret: str) -> set[str]:
    return _urls(secret) | {base64.b64encode(secret.encode("utf-8", "surrogatepass")).decode()}


def _base64(secret: str) -> Iterator[bytes]:
    """Yield what is certain of the secret's base64, wherever in the encoded text it begins."""
    raw = secret.encode("utf-8", "surrogatepass")
    for offset in range(3):
        encoded = base64.b64encode(bytes(offset) + raw)
        certain = encoded[-(-8 * offset // 6) : 8 * (offset + len(raw)) // 6]
        yield certain
        yield certain.translate(bytes.maketrans(b"+/", b"-_"))


def _short_patterns(spelled: str) -> tuple[re.Pattern[bytes], re.Pattern[str]]:
    """Return what finds short secrets in a text, and in the value of a header."""
    ends = r"(?![A-Za-z0-9_~%-]|\.[A-Za-z0-9])"
    before = (
        r"""://(?:[^\s/@:"']*:)?(?=[^\s/@]*@)"""  # user info
        r"|[?&][A-Za-z0-9_.-]+="
        r"|(?i:bearer|basic) "
    )
    in_text = rf"({before})(?:{spelled}){ends}"
    return (
        re.compile(in_text.encode("utf-8", "surrogatepass")),
        re.compile(rf"(?<![A-Za-z0-9_.~%-])(?:{spelled}){ends}"),
    )


def _revealed(escape: re.Match[bytes]) -> bytes:
    digits = escape[1] or escape[2]
    found = bytes([int(digits, 16)]) if digits else escape[3]
    return escape[0] if found in _KEPT_ESCAPED else found
