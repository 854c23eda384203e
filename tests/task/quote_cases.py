"""Quotes to be found and not to be found, generated in twenty scripts.

What counts as equal is written down here once more, and otherwise than in the package: whole texts
go through ``unicodedata`` and regular expressions, nothing is mapped back.
"""

# ruff: noqa: RUF001 - letters of many scripts look alike

from __future__ import annotations

import random
import re
import unicodedata
from dataclasses import dataclass

SENTENCES = {
    "Latin": "All human beings are born free and equal — “in dignity” and rights… İstanbul'da kırk "
    "Straßen, the ﬁfth ½ and São Tomé's œuvre: they are endowed with reason",
    "Greek": "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι — «στην αξιοπρέπεια» και τα "
    "δικαιώματα… Είναι προικισμένοι με λογική και συνείδηση ᾳ",
    "Cyrillic": "Все люди рождаются свободными и равными — «в своём достоинстве» и правах… Они "
    "наделены разумом и совестью, ёж и йод",
    "Armenian": "Բոլոր մարդիկ ծնվում են ազատ ու հավասար — «իրենց արժանապատվությամբ» ու "
    "իրավունքներով… Նրանք ունեն բանականություն և խիղճ",
    "Georgian": "ყველა ადამიანი იბადება თავისუფალი და თანასწორი — „თავისი ღირსებით“ და "
    "უფლებებით… მათ მინიჭებული აქვთ გონება",
    "Hebrew": "כל בני האדם נולדו בני חורין ושווים — ״בערכם״ ובזכויותיהם… כולם חוננו בתבונה "
    "ובמצפון, בְּרֵאשִׁית בָּרָא",
    "Arabic": "يولد جميع الناس أحرارا متساوين — «في الكرامة» والحقوق… وقد وهبوا عقلا وضميرا، "
    "بِسْمِ اللّٰهِ می‌خواهم ﻻ",
    "Syriac": "ܟܠ ܒܪܢܫܐ ܒܪܝܠܗ ܚܐܪܐ ܘܒܪܒܪ — “ܓܘ ܐܝܩܪܐ” ܘܙܕܩܐ… ܦܝܫܠܗ ܝܗܒܐ ܗܘܢܐ ܘܬܐܪܬܐ",
    "Thaana": "ހުރިހާ އިންސާނުން ވެސް އުފަންވަނީ — “މިނިވަންކަމުގައި” ހަމަހަމަ… އެމީހުންނަށް ބުއްދިއާއި ހޭވައިވެރިކަން",
    "Devanagari": "सभी मनुष्यों को गौरव — “और अधिकारों” के मामले में… जन्मजात स्वतन्त्रता क़ और समानता प्राप्त है",
    "Bengali": "সমস্ত মানুষ স্বাধীনভাবে সমান মর্যাদা — “এবং অধিকার” নিয়ে… জন্মগ্রহণ করে তাঁদের বিবেক এবং বুদ্ধি আছে",
    "Tamil": "மனிதப் பிறவியினர் சகலரும் சுதந்திரமாகவே — “பிறக்கின்றனர்” அவர்கள்… மதிப்பிலும் "
    "உரிமைகளிலும் சமமானவர்கள்",
    "Telugu": "ప్రతిపత్తిస్వత్వముల విషయమున మానవులెల్లరును — “జన్మతః” స్వతంత్రులును… సమానులును నగుదురు వారు",
    "Thai": "มนุษย์ทั้งหลาย เกิดมามีอิสระ — “และเสมอภาค” กันในเกียรติ… ศักดิ์ และสิทธิ ต่างมีเหตุผล",
    "Tibetan": "འགྲོ་བ་མིའི་རིགས་རྒྱུད་ ཡོངས་ལ་ — “སྐྱེས་ཙམ་ཉིད་ནས་” ཆེ་མཐོངས་… དང་ཐོབ་ཐངགི་ རང་དབང་ འདྲ་མཉམ་",
    "Khmer": "មនុស្សទាំងអស់ កើតមកមានសេរីភាព — “និងភាពស្មើគ្នា” ក្នុងសេចក្ដី… ថ្លៃថ្នូរ និងសិទ្ធិ មនុស្សគ្រប់រូប",
    "Ethiopic": "የሰው ልጅ ሁሉ ሲወለድ ነጻና — “በክብርና” በመብትም… እኩልነት ያለው ነው የተፈጥሮ ማስተዋልና ሕሊና",
    "Hangul": "모든 인간은 태어날 때부터 자유로우며 — “그 존엄과” 권리에… 있어 동등하다 하 한 "
    "인간은 천부적으로 이성과",
    "Han": "人人生而自由，在尊严 ——「和权利上」一律平等…… 他们赋有理性和良心 "
    "並應以兄弟 關係的精神 互相對待",
    "Kana": "すべての人間は、生まれながらにして 自由であり —「かつ、尊厳と」権利とについて… "
    "平等である ガギグ ﾊﾟﾋﾟﾌﾟ 理性と良心とを",
}
"""Of each script the first sentence of the Universal Declaration of Human Rights, roughly."""

_WORDS = {script: sentence.split(" ") for script, sentence in SENTENCES.items()}
_SPACES = ("\n", "  ", "\t", "\u00a0", "\u3000", " \r\n ", "\u2009", "\u2028")
_MARKS = "\"'“”„‟‘’‚‛«»‹›「」『』״׳`´′＂＇"
_DASHES = "-‐‑‒–—―−﹣－"
_UNSEEN = "\u00ad\u200b\u200c\u200d\u2060\ufe0f\ufeff"
_HIDDEN = re.compile(
    "[\u00ad\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]"
)


@dataclass(frozen=True)
class Case:
    """A text, what is quoted of it, and what must come of it.

    ``spans`` are the places, None where the quotes must not be found; ``ambiguous`` where there
    are several and nothing tells which.
    """

    kind: str
    script: str
    text: str
    quotes: tuple[str, ...]
    spans: tuple[tuple[int, int], ...] | None
    ambiguous: bool = False


def alike(text: str) -> str:
    """Write a text so that those that count as equal are equal."""
    text = text.replace("⋯", "...")
    for _ in range(2):
        text = re.sub(f"[{_MARKS}]", "'", text)
        text = unicodedata.normalize("NFKC", _HIDDEN.sub("", text)).upper().casefold()
    text = re.sub(f"[{_DASHES}]+", "-", re.sub(f"[{_MARKS}]+", "'", text))
    text = re.sub(r"\.(?:\s+\.){2,}", "...", text)
    return unicodedata.normalize("NFKC", re.sub(r"\s+", " ", text).strip())


def bare(text: str) -> str:
    """Write a text so, without quotation marks and ellipses around it."""
    around = r"(?:[ ']|\.{2,}|\[\.{2,}\])+"
    return re.sub(f"^{around}|{around}$", "", alike(text))


def cases(count: int, seed: int) -> list[Case]:
    """Draw cases, the same for the same seed, each kind and script in turn."""
    rng = random.Random(seed)
    makers = (_exact, _damaged, _repeated, _paraphrased, _invented)
    scripts = list(SENTENCES)
    drawn = []
    while len(drawn) < count:
        script = scripts[len(drawn) // len(makers) % len(scripts)]
        drawn.append(makers[len(drawn) % len(makers)](rng, script))
    return drawn


def _text(rng: random.Random, script: str) -> list[str]:
    words = [rng.choice(_WORDS[script]) for _ in range(rng.randint(15, 60))]
    form = rng.choice((None, None, "NFC", "NFD"))
    return [unicodedata.normalize(form, word) for word in words] if form else words


def _passage(rng: random.Random, script: str) -> tuple[str, int, int]:
    """Return a text and a passage that stands in it once, however it is written."""
    while True:
        text = rng.choice((" ", " ", "\n", "  ")).join(_text(rng, script))
        start = rng.randrange(len(text))
        end = min(len(text), start + rng.randint(8, 80))
        if rng.random() < 0.7:  # whole words
            start, end = text.rfind(" ", 0, start + 1) + 1, (text + " ").find(" ", end)
        passage = text[start:end]
        inner = bare(passage)
        seen = sum(letter.isalnum() for letter in inner)
        parts = (text[:start], passage, text[end:])
        composed = [unicodedata.normalize("NFC", part) for part in (*parts, text)]
        if passage.strip() != passage or "".join(composed[:3]) != composed[3]:
            continue  # no letter is cut from its accent
        if seen > 5 and _count(alike(text), inner) == 1:
            return text, start, end


def _exact(rng: random.Random, script: str) -> Case:
    text, start, end = _passage(rng, script)
    return Case("exact", script, text, (text[start:end],), ((start, end),))


def _damaged(rng: random.Random, script: str) -> Case:
    while True:
        text, start, end = _passage(rng, script)
        quote = text[start:end]
        for damage in rng.sample(_DAMAGES, rng.randint(1, 4)):
            quote = damage(rng, quote)
        if quote not in text:
            return Case("damaged", script, text, (quote,), ((start, end),))


def _repeated(rng: random.Random, script: str) -> Case:
    """Draw a passage that stands several times, quoted once or as often as it stands there."""
    while True:
        source, start, end = _passage(rng, script)
        passage, words, times = source[start:end], _text(rng, script), rng.randint(2, 4)
        for place in sorted(rng.sample(range(len(words)), times), reverse=True):
            words.insert(place, f"#{passage}#")
        text = " ".join(words)
        if _count(alike(text), alike(passage)) == times == _count(text, passage):
            break
    spans = tuple((one.start() + 1, one.end() - 1) for one in _finds(f"#{passage}#", text))
    if rng.random() < 0.5:
        return Case("repeated", script, text, (passage,), spans, ambiguous=True)
    return Case("repeated", script, text, (passage,) * times, spans)


def _count(text: str, part: str) -> int:
    """Count also the places that overlap."""
    return len(re.findall(f"(?={re.escape(part)})", text))


def _finds(part: str, text: str) -> list[re.Match[str]]:
    return list(re.finditer(re.escape(part), text))


def _paraphrased(rng: random.Random, script: str) -> Case:
    while True:
        text, start, end = _passage(rng, script)
        quote = rng.choice(_CHANGES)(rng, text[start:end], script)
        if bare(quote) and bare(quote) not in alike(text):
            return Case("paraphrased", script, text, (quote,), None)


def _invented(rng: random.Random, script: str) -> Case:
    while True:
        text = " ".join(_text(rng, script))
        quote = " ".join(_text(rng, script)[: rng.randint(2, 8)])
        if bare(quote) and bare(quote) not in alike(text):
            return Case("invented", script, text, (quote,), None)


def _each(rng: random.Random, quote: str, wanted: str, instead: str | tuple[str, ...]) -> str:
    return "".join(rng.choice(instead) if letter in wanted else letter for letter in quote)


def _fullwidth(_: random.Random, quote: str) -> str:
    return "".join(chr(ord(one) + 0xFEE0) if "!" <= one <= "~" else one for one in quote)


def _unseen(rng: random.Random, quote: str) -> str:
    place = rng.randint(1, len(quote))
    return quote[:place] + rng.choice(_UNSEEN) + quote[place:]


_DAMAGES = (
    lambda rng, quote: (
        rng.choice((str.upper, str.lower, str.swapcase, str.title))(quote)
        if "İ" not in quote
        else quote.casefold()
    ),
    lambda rng, quote: _each(rng, quote, " ", _SPACES),
    # An acute accent of its own becomes a space with an accent in NFKC, and so no mark any more.
    lambda rng, quote: _each(rng, quote, _MARKS, _MARKS.replace("´", "")),
    lambda rng, quote: _each(rng, quote, _DASHES, (*_DASHES, "--", "---")),
    lambda rng, quote: quote.replace("…", rng.choice(("...", ". . .", "⋯"))),
    lambda rng, quote: f"{rng.choice(('...', '… ', ''))}{quote}{rng.choice(('...', ' …', '....'))}",
    lambda rng, quote: f"{rng.choice('“«「')}{quote}{rng.choice('”»」')}",
    lambda rng, quote: unicodedata.normalize(rng.choice(("NFC", "NFD", "NFKC", "NFKD")), quote),
    _fullwidth,
    _unseen,
)
"""What may be done to a quote, one after the other."""


def _word_replaced(rng: random.Random, quote: str, script: str) -> str:
    words = quote.split()
    words[rng.randrange(len(words))] = rng.choice(_WORDS[script])
    return " ".join(words)


def _word_dropped(rng: random.Random, quote: str, _: str) -> str:
    words = quote.split()
    del words[rng.randrange(len(words))]
    return " ".join(words)


def _words_swapped(rng: random.Random, quote: str, _: str) -> str:
    words = quote.split()
    rng.shuffle(words)
    return " ".join(words)


def _letter_changed(rng: random.Random, quote: str, script: str) -> str:
    place = rng.randrange(len(quote))
    return quote[:place] + rng.choice(SENTENCES[script]) + quote[place + 1 :]


def _number_added(rng: random.Random, quote: str, _: str) -> str:
    place = rng.randrange(len(quote))
    return f"{quote[:place]}{rng.randint(0, 9)}{quote[place:]}"


def _middle_left_out(rng: random.Random, quote: str, _: str) -> str:
    words = quote.split()
    middle = max(1, len(words) // 2)
    return " ".join([*words[:middle], rng.choice(("...", "…", "[...]")), *words[middle + 1 :]])


_CHANGES = (
    _word_replaced,
    _word_dropped,
    _words_swapped,
    _letter_changed,
    _number_added,
    _middle_left_out,
)
