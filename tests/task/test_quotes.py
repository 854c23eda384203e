"""Quotes are found in their text wherever they stand, and nowhere else."""

# ruff: noqa: RUF001 - letters of many scripts look alike

from __future__ import annotations

from collections import Counter
from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st
from quote_cases import SENTENCES, alike, bare, cases

from pandas_genai.task.quotes import find_quotes
from pandas_genai.task.schema.evidence import GROUNDED


def _found(text, *quotes):
    return [
        (one.grounded, None if one.start is None else text[one.start : one.end])
        for one in find_quotes([text], quotes)
    ]


def _check(drawn):
    """Hold every case against what must come of it; return the shares that were found."""
    found, total = Counter(), Counter()
    for case in drawn:
        results = find_quotes([case.text], case.quotes)
        total[case.kind] += 1
        for quote, one in zip(case.quotes, results, strict=True):
            accepted = one.grounded in ("exact", "normalised")
            assert accepted == (one.start is not None) == (one.end is not None), case
            if accepted:
                passage = case.text[one.start : one.end]
                if one.grounded == "exact":
                    assert passage == quote, case
                assert alike(passage) in (alike(quote), bare(quote)), case
        grounded = {one.grounded for one in results}
        if case.spans is None:
            assert grounded == {"not found"}, (case, results)
            found[case.kind] += 1
        elif case.ambiguous:
            assert grounded == {"ambiguous"}, (case, results)
            found[case.kind] += 1
        else:
            spans = [(one.start, one.end) for one in results]
            if case.kind == "damaged":
                found[case.kind] += grounded == {"normalised"}
            else:
                assert grounded == {"exact"}, (case, results)
                assert spans == list(case.spans), (case, results)
                found[case.kind] += 1
    assert set(total) == {"exact", "damaged", "repeated", "paraphrased", "invented"}
    return {kind: found[kind] / total[kind] for kind in total}


def test_quotes_in_twenty_scripts():
    drawn = cases(4_000, seed=1)
    assert {case.script for case in drawn} == set(SENTENCES)
    assert len(SENTENCES) == 20
    assert _check(drawn).pop("damaged") >= 0.999


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(2, 12))
def test_a_hundred_thousand_quotes(seed):
    shares = _check(cases(10_000, seed=seed))
    assert shares.pop("damaged") >= 0.999
    assert set(shares.values()) == {1.0}


@pytest.mark.parametrize(
    ("text", "quote", "grounded", "passage"),
    [
        ("Great people.", "Great people", "exact", "Great people"),
        ("A party.", "art", "exact", "art"),
        ("Great  people,\nreally.", "great people, REALLY", "normalised", "Great  people,\nreally"),
        ("He “said” it’s", 'he "said" it\'s', "normalised", "He “said” it’s"),
        ("Nothing — at all…", "nothing -- at all...", "normalised", "Nothing — at all…"),
        ("So . . . it ended.", "so … it", "normalised", "So . . . it"),
        ("say ''hi'' now", '"hi"', "normalised", "''hi''"),
        ("Straße", "STRASSE", "normalised", "Straße"),
        ("caf\u00e9 x", "cafe\u0301", "normalised", "caf\u00e9"),
        ("ﬁnd ① ＡＢＣ", "find 1 abc", "normalised", "ﬁnd ① ＡＢＣ"),
        ("exam\u00adple", "example", "normalised", "exam\u00adple"),
        ("a\u0323\u0307b", "a\u0307\u0323B", "normalised", "a\u0323\u0307b"),
        ("kırk", "KIRK", "normalised", "kırk"),
        ("He left.", "“He left...”", "normalised", "He left"),
        ("He left.", "[...] left", "normalised", "left"),
        # What one character stands for is not cut: no accent is lost, no letter halved.
        ("caf\u00e9", "cafe", "not found", None),
        ("ﬁnd", "ind", "not found", None),
        ("한", "하", "not found", None),
        ("cafe\u0301", "cafe", "not found", None),
        ("cafe\u0301", "CAFE", "not found", None),
        ("\u1112\u1161\u11ab", "\ud558", "not found", None),
        # Letters, words, numbers and punctuation are not allowed for.
        ("Great people.", "Great people!", "not found", None),
        ("They agreed, after long talks, to pay.", "They agreed … to pay", "not found", None),
        ("5.2 percent", "5.3 percent", "not found", None),
        ("no where", "nowhere", "not found", None),
        ("résumé", "resume", "not found", None),
        # Nothing is no quote, and punctuation alone stands nowhere unless it is exact.
        ("Great.", "", "not found", None),
        ("Great people.", " \n", "not found", None),
        ("Great people.", "\u200b", "not found", None),
        ("Great – people", "—", "not found", None),
        ("Great people?!", "?!", "exact", "?!"),
        ("", "Great", "not found", None),
        ("short", "short " * 9, "not found", None),
        ("ha ha", "ha", "ambiguous", None),
        ("aaa", "aa", "ambiguous", None),
        ("Yes. YES", "yes", "ambiguous", None),
        ("Yes. yes", "yes", "exact", "yes"),
    ],
)
def test_one_quote(text, quote, grounded, passage):
    assert _found(text, quote) == [(grounded, passage)]


def test_the_order_tells_which_of_several_is_meant():
    text = "Yes, she said. No! Then: yes. Yes."
    both = find_quotes([text], ["Yes", "No", "Yes"])
    assert [(one.start, one.end) for one in both] == [(0, 3), (15, 17), (30, 33)]
    assert [one.grounded for one in find_quotes([text], ["Yes"] * 3)] == ["ambiguous"] * 3
    assert _found(text, "YES", "YES") == [("ambiguous", None)] * 2  # of three
    assert [one.start for one in find_quotes([text], ["YES", "YES", "yEs"])] == [0, 25, 30]
    assert _found("Only once.", "once", "once") == [("exact", "once")] * 2


@given(st.text(max_size=80), st.data())
def test_any_part_of_a_text_is_found_in_it(text, data):
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    (one,) = find_quotes([text], [text[start:end]])
    parts = (text[:start], text[start:end], text[end:])
    whole = "".join(normalize("NFC", part) for part in parts) == normalize("NFC", text)
    if text[start:end].strip() and whole:
        assert one.grounded in ("exact", "ambiguous")
        assert one.grounded == "ambiguous" or text[one.start : one.end] == text[start:end]
    elif not text[start:end].strip():
        assert one.grounded == "not found"


@given(st.text(max_size=80), st.text(max_size=20))
def test_what_is_accepted_is_equal(text, quote):
    (one,) = find_quotes([text], [quote])
    assert one.grounded in GROUNDED
    if one.start is not None:
        # The oracle folds whole texts; a passage and its quote are folded by themselves here, too.
        assert alike(text[one.start : one.end]) in (alike(quote), bare(quote))
