"""Quotes found again in the text that they were taken from; nothing is guessed."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, chain, islice
from typing import Literal, TypeAlias

__all__ = ["MISSING", "Found", "Grounded", "find_quotes", "places_of"]

_Span: TypeAlias = tuple[int, int, int]
"""Start and end, and in which text."""

Grounded: TypeAlias = Literal["exact", "normalised", "ambiguous", "not found"]
"""What may become of a quote."""


@dataclass(frozen=True, slots=True)
class Found:
    """Where a quote stands.

    Parameters
    ----------
    grounded : {"exact", "normalised", "ambiguous", "not found"}
        How it was found.
    start, end : int, optional
        Its place in code points, ``text[start:end]``; only where there is one that it must be.
    part : int, default 0
        Which of several texts that is.
    """

    grounded: Grounded
    start: int | None = None
    end: int | None = None
    part: int = 0


MISSING = Found("not found")


def find_quotes(texts: Sequence[str], quotes: Sequence[str]) -> list[Found]:
    """Find each of several quotes of one field in the text, or texts, of a row.

    A quote is ``exact`` where it stands in a text code point for code point, and ``normalised``
    where it is equal to a passage once both are written alike: Unicode's compatibility form (NFKC)
    without regard to case and to characters that are not seen (soft hyphens, joiners, variation
    selectors), any white space as one space, any quotation mark or apostrophe, any dash and any
    ellipsis as one of its kind, and of the quote without quotation marks and ellipses around it.
    Words and parts of words count alike, but no letter without its accent. Anything else is ``not
    found``; so is a quote of nothing but punctuation, unless it is exact.

    A quote that stands there several times is ``ambiguous``, unless it was given as often as it
    stands there: then the first is the first, and so on. A text that stands there exactly once is
    meant, whether or not it stands there in another spelling, too.

    Parameters
    ----------
    texts : sequence of str
        What the quotes were taken from: each stands in one of these.
    quotes : sequence of str
        In the order in which they were given.

    Examples
    --------
    >>> text = "Great  people, “really” great."
    >>> for one in find_quotes([text], ["people", 'Great people, "really"', "good people"]):
    ...     print(one.grounded, one.start, one.end)
    exact 7 13
    normalised 0 23
    not found None None
    >>> [one.grounded for one in find_quotes(["Yes. Then: yes."], ["es"])]
    ['ambiguous']
    >>> [one.start for one in find_quotes(["Yes. Then: yes."], ["es", "es"])]
    [1, 12]
    """
    sources = [_Source(part, text) for part, text in enumerate(texts)]
    found = [MISSING] * len(quotes)
    places: dict[str, list[int]] = {}
    for place, quote in enumerate(quotes):
        places.setdefault(quote, []).append(place)
    other: dict[str, list[int]] = {}
    for quote, ours in places.items():
        if not quote or quote.isspace():
            continue
        exact = chain.from_iterable(source.exact(quote) for source in sources)
        spans = list(islice(exact, len(ours) + 1))
        if spans:
            _settle(found, ours, spans, "exact")
        else:
            other.setdefault(_folded(quote).strip(" "), []).extend(ours)
    for key, ours in other.items():
        _settle(found, sorted(ours), _normalised(sources, key, len(ours) + 1), "normalised")
    return found


def places_of(text: str, quote: str) -> list[tuple[int, int]]:
    """Return all places where a quote stands, those where it is exact if there are any.

    Examples
    --------
    >>> places_of("Yes. Then: yes.", "es"), places_of("Yes. Then: yes.", "YES")
    ([(1, 3), (12, 14)], [(0, 3), (11, 14)])
    """
    if not quote or quote.isspace():
        return []
    source = _Source(0, text)
    spans = list(source.exact(quote)) or _normalised([source], _folded(quote).strip(" "), None)
    return [(start, end) for start, end, _ in spans]


def _normalised(sources: Sequence[_Source], key: str, most: int | None) -> list[_Span]:
    """Return where a folded quote stands, as it is or without what is put around quotes."""
    for form in (key, _AROUND.sub("", key)):
        if any(map(_is_content, form)):
            found = chain.from_iterable(source.normalised(form) for source in sources)
            spans = list(islice(found, most))
            if spans:
                return spans
    return []


def _settle(found: list[Found], places: list[int], spans: list[_Span], grounded: Grounded) -> None:
    """Enter where equal quotes stand, given all places where they may, or one more than needed."""
    if len(spans) == 1:
        spans = spans * len(places)
    for at, place in enumerate(places):
        if len(spans) == len(places):
            found[place] = Found(grounded, *spans[at])
        elif spans:
            found[place] = Found("ambiguous")


class _Source:
    """A text that quotes are looked for in; it is folded once, and only if one is not exact."""

    def __init__(self, part: int, text: str) -> None:
        self._part = part
        self._text = text

    def exact(self, quote: str) -> Iterator[_Span]:
        for start in _occurrences(self._text, quote):
            if self._is_whole(start, start + len(quote)):
                yield start, start + len(quote), self._part

    def normalised(self, key: str) -> Iterator[_Span]:
        for place in _occurrences(self._folded, key):
            first, after = self._place(place), self._place(place + len(key))
            start, end = self._original(first), self._original(after - 1) + 1
            # Half of what one character became, such as an "æ", is no passage of the text.
            if self._begins(start) != first or self._begins(end) != after:
                continue
            if _folded(self._text[start:end]) == key and self._is_whole(start, end):
                yield start, end, self._part

    def _begins(self, place: int) -> int:
        """Return where in the written text the part of a character begins."""
        return place if self._ends is None or place == 0 else self._ends[place - 1]

    def _is_whole(self, start: int, end: int) -> bool:
        return not (_cuts(self._text, start) or _cuts(self._text, end))

    @cached_property
    def _written(self) -> str:
        return _written(self._text)

    @cached_property
    def _folded(self) -> str:
        return _RUNS.sub(_one, self._written)

    @cached_property
    def _runs(self) -> tuple[list[int], list[int]]:
        """Where in the folded text runs end, and how much of the written text they took before."""
        ends, removed, total = [], [], 0
        for run in _RUNS.finditer(self._written):
            total += len(run[0]) - len(_one(run))
            ends.append(run.end() - total)
            removed.append(total)
        return ends, removed

    @cached_property
    def _ends(self) -> list[int] | None:
        """Where each character's part of the written text ends; None where each is one."""
        if self._text.isascii():
            return None
        return list(accumulate(len(_ALIKE[ord(letter)]) for letter in self._text))

    def _place(self, folded: int) -> int:
        """Return the place in the written text of one in the folded text."""
        ends, removed = self._runs
        before = bisect_right(ends, folded)
        return folded + (removed[before - 1] if before else 0)

    def _original(self, written: int) -> int:
        """Return the place in the text of one in the written text."""
        return written if self._ends is None else bisect_right(self._ends, written)


def _occurrences(text: str, part: str) -> Iterator[int]:
    start = text.find(part)
    while start >= 0:
        yield start
        start = text.find(part, start + 1)


def _cuts(text: str, at: int) -> bool:
    """Whether a letter and its accent, or parts of one syllable, stand on either side of a place.

    A text in which they are one character has no such place: both must be quoted alike.
    """
    if at in (0, len(text)) or text[at] < _FIRST_MARK:
        return False
    start, end = max(0, at - _SYLLABLE), at + 1
    while start and unicodedata.combining(text[start]):
        start -= 1
    while end < len(text) and unicodedata.combining(text[end]):
        end += 1
    before, after, whole = (
        unicodedata.normalize("NFC", part)
        for part in (text[start:at], text[at:end], text[start:end])
    )
    return before + after != whole


class _Alike(dict[int, str]):
    """What each character is written as, so that equal texts look alike; made when first needed."""

    def __missing__(self, code: int) -> str:
        letter = chr(code)
        # Upper case first: the dotless i and the i are the same in it.
        plain = unicodedata.normalize("NFKD", letter).upper().casefold()
        written = "".join(map(_written_as, unicodedata.normalize("NFKD", plain)))
        self[code] = written
        return written


def _written_as(letter: str) -> str:
    if letter.isspace():
        return " "
    if unicodedata.category(letter) == "Pd" or letter in "\u02d7\u2043\u2212":
        return "-"
    return "'" if letter in _MARKS else "" if ord(letter) in _UNSEEN else letter


_MARKS = frozenset(
    "\"'`\u00ab\u00b4\u00bb\u02b9\u02ba\u02bb\u02bc\u02bd\u02ee\u05f3\u05f4\u2018\u2019\u201a\u201b\u201c"
    "\u201d\u201e\u201f\u2032\u2033\u2035\u2036\u2039\u203a\u2e42\u3008\u3009\u300a\u300b\u300c\u300d\u300e"
    "\u300f\u301d\u301e\u301f"
)
"""Quotation marks, apostrophes and primes: Unicode's property ``Quotation_Mark``, and what is typed
in their place."""

_UNSEEN = frozenset(
    chain.from_iterable(
        range(first, last + 1)
        for first, last in (
            *((0x00AD, 0x00AD), (0x034F, 0x034F), (0x061C, 0x061C), (0x115F, 0x1160)),
            *((0x17B4, 0x17B5), (0x180B, 0x180F), (0x200B, 0x200F), (0x202A, 0x202E)),
            *((0x2060, 0x206F), (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF)),
            *((0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A)),
            (0xE0000, 0xE0FFF),
        )
    )
)
"""Unicode's property ``Default_Ignorable_Code_Point``, which ``NFKC_Casefold`` leaves out."""

_RUNS = re.compile(r" {2,}|-{2,}|'{2,}|\.(?: +\.){2,}")
_ELLIPSIS = "..."
_ALIKE = _Alike({ord("\u00b4"): "'", ord("\u22ef"): _ELLIPSIS})
_PUT = r"[ ']|\.{2,}|\[\.{2,}\]|\(\.{2,}\)"
_AROUND = re.compile(rf"^(?:{_PUT})+|(?:{_PUT})+$")
_FIRST_MARK, _SYLLABLE = "\u0300", 3
_SEEN = frozenset("LMNS")


def _written(text: str) -> str:
    """Write a text so that equal ones look alike, marks of a letter in Unicode's order."""
    return unicodedata.normalize("NFKD", text.translate(_ALIKE))


def _folded(text: str) -> str:
    return _RUNS.sub(_one, _written(text))


def _one(run: re.Match[str]) -> str:
    return _ELLIPSIS if run[0][0] == "." else run[0][0]


def _is_content(letter: str) -> bool:
    """Whether a character is more than punctuation."""
    return unicodedata.category(letter)[0] in _SEEN
