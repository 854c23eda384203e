"""Every repr that a notebook shows: compared with what a person looked at, and fed with malice."""

from __future__ import annotations

import os
import subprocess
import sys
from html import escape
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

import pandas_genai
from pandas_genai import UsageError
from pandas_genai.batch.folder import JobsFolder
from pandas_genai.display.cards import PreviewCard, ReportCard
from pandas_genai.display.html import NO_MATH, TAGS, Shown, element, text
from pandas_genai.runs.report import errors_frame
from pandas_genai.testing import LoopbackProvider

SNAPSHOTS = Path(__file__).with_name("snapshots")
# Read now: the fixtures that clean the environment run later.
WRITE = os.environ.get("WRITE_SNAPSHOTS") == "yes"
EVIL = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "<a href='javascript:alert(1)'>x</a>",
    "</td></table><style>*{display:none}</style>",
    "' onmouseover='alert(1)",
    "&lt;script&gt;",
]


def matches(name, shown):
    """Compare with the file of that name; WRITE_SNAPSHOTS=yes writes it for a person to read."""
    path = SNAPSHOTS / name
    if WRITE:
        SNAPSHOTS.mkdir(exist_ok=True)
        path.write_text(shown + "\n", encoding="utf-8")
    assert path.read_text(encoding="utf-8") == shown + "\n"


class Allowed(HTMLParser):
    """Collects whatever is neither an allowed element nor a style."""

    def __init__(self):
        super().__init__()
        self.found = []
        self.open = []
        self.text = ""

    def handle_starttag(self, tag, attrs):
        outermost = tag == "div" and attrs == [("class", NO_MATH)] and not self.open
        if not outermost and (tag not in TAGS or any(name != "style" for name, _ in attrs)):
            self.found.append((tag, attrs))
        self.found += [value for _, value in attrs if "url(" in value or "expression" in value]
        self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.found.append(f"</{tag}>")

    def handle_data(self, data):
        self.text += data


def read(html):
    parser = Allowed()
    parser.feed(html)
    parser.close()
    assert parser.found == []
    assert parser.open == []
    return parser.text


def report(**changes):
    given = {
        "run_id": "0123456789ab",
        "status": "completed",
        "rows": 1_000,
        "ok": 990,
        "failed": 8,
        "cached": 400,
        "empty": 2,
        "duplicates": 3,
        "calls": 120,
        "retries": 1,
        "input_tokens": 61_000,
        "cached_tokens": 40_000,
        "output_tokens": 9_000,
        "cost": 0.0106,
        "models": ["gpt-6-luna-2026-09-01"],
        "prompt_hash": "c" * 32,
        "seconds": 12.3,
        "errors": errors_frame(
            pd.Index([f"doc-{number}" for number in range(10)]),
            [("empty text", "There is no text to send.", 0, None)] * 2
            + [("refusal", "The model refused: no.", 3, "req_1")] * 7
            + [("truncated", "The answer was cut off.", 1, "req_2")],
        ),
    }
    return ReportCard(**{**given, **changes})


def test_a_report():
    matches("report.html", report()._repr_html_())
    matches("report.txt", repr(report()))
    content = read(report()._repr_html_())
    for part in ("990 answered (400 of them from the cache)", "40,000 of them cached", "$0.0106"):
        assert part in content
    assert "and 4 more" in content


def test_a_report_without_failures_or_price():
    plain = report(errors=errors_frame(pd.Index([]), []), cost=None, seconds=None, models=[])
    matches("report_plain.html", plain._repr_html_())
    assert "unknown" in read(plain._repr_html_())
    assert "without an answer" not in plain._repr_html_()


@pytest.mark.parametrize("backend", ["openai", "anthropic"])
def test_a_preview(backend):
    df = pd.DataFrame({"text": ["Great people.", "Awful."]})
    shown = df.genai.preview("Tone?", {"tone": ["good", "bad"]}, backend=backend)
    assert isinstance(shown, PreviewCard)
    matches(f"preview_{backend}.html", shown._repr_html_())
    content = read(shown._repr_html_())
    for part in ("Tone?", "Great people.", "max_tokens" if backend == "anthropic" else "model"):
        assert part in content


def test_a_plan():
    df = pd.DataFrame({"text": ["Great people.", "Awful.", "Awful.", None]})
    plan = df.genai.estimate("Tone?", {"tone": ["good", "bad"]}, model="gpt-6-luna")
    matches("plan.html", plan._repr_html_())
    matches("plan.txt", repr(plan))
    content = read(plan._repr_html_())
    for part in ("2 texts to ask", "suggested", "fewer than 2,000 texts", "gpt-6-luna"):
        assert part in content
    unknown = df.genai.estimate("Tone?", ["good"], model="<script>", cache=False)
    assert "price unknown" in read(unknown._repr_html_())


def labelled():
    return pd.DataFrame(
        {
            "review": ["The staff were kind. " * 40, "Cold food, kind waiter.", None],
            "tone": pd.Categorical(["good", "mixed", None]),
            "quote": ["The staff were kind.", "Cold food", None],
            "topics": [["staff", "price"], [], None],
            "parts": [{"food": 1, "room": {"size": 2}}, None, None],
            "stars": pd.array([5, 3, None], dtype="Int64"),
        },
        index=["a", "b", "c"],
    )


def test_texts_beside_their_answers():
    shown = labelled().genai.show(3, text="review")
    assert shown._repr_html_().startswith(f'<div class="{NO_MATH}">')
    matches("show.html", shown._repr_html_())
    matches("show.txt", repr(shown))
    html = shown._repr_html_()
    assert html.count("<mark>The staff were kind.</mark>") == 40
    assert "<mark>Cold food</mark>" in html
    assert "(840 characters)" in read(html)


def test_where_the_texts_come_from():
    frame = labelled()
    labels = frame.drop(columns="review")
    assert "kind waiter" in repr(labels.genai.show(2, text=frame["review"]))
    assert "kind waiter" not in repr(labels.drop(columns="quote").genai.show(2))
    with pytest.raises(UsageError, match="Series with the index"):
        labels.genai.show(2, text=frame["review"].reset_index(drop=True))
    with pytest.raises(UsageError, match="'nowhere' names no column"):
        frame.genai.show(2, text="nowhere")
    with pytest.raises(UsageError, match="n= must be"):
        frame.genai.show(0)
    assert repr(frame.iloc[:0].genai.show(text="review")) == "no rows"


@pytest.mark.parametrize("evil", EVIL)
def test_malice_stays_text(evil):
    frame = pd.DataFrame(
        {"text": [evil, evil * 200], evil: [evil, None], "list": [[evil, {"x": evil}], [evil]]},
        index=pd.Index([evil, "b"], name=evil),
    )
    cards = [
        frame.genai.show(5, text="text")._repr_html_(),
        report(
            run_id=evil,
            status=evil,
            models=[evil],
            prompt_hash=evil,
            errors=errors_frame(pd.Index([evil]), [(evil, evil, 1, evil)]),
        )._repr_html_(),
    ]
    preview = frame.genai.preview(evil, [evil, "b"], text="text", model=evil)
    cards.append(preview._repr_html_())
    for html in cards:
        assert evil in read(html)


@pytest.mark.parametrize("evil", EVIL)
def test_a_jobs_name_holds_no_malice(evil, tmp_path):
    jobs = JobsFolder(tmp_path / "jobs")
    try:
        folder = jobs.job(evil)
    except UsageError:
        return
    assert evil.startswith(("' onmouseover", "&lt;"))
    with LoopbackProvider(lambda text: {"label": "good"}) as provider:
        where = {"base_url": provider.openai_url, "api_key": "k", "folder": tmp_path / "jobs"}
        df = pd.DataFrame({"text": ["a"]})
        df.genai.batch_submit("Tone?", ["good"], name=evil, **where)
    assert folder.exists
    shown = pandas_genai.jobs(tmp_path / "jobs")._repr_html_()
    assert escape(evil, quote=False) in shown


def test_half_a_surrogate_pair_is_shown_as_a_question_mark():
    assert text("\ud800 half") == "? half"


def test_only_known_elements():
    with pytest.raises(ValueError, match="no <script>"):
        element("script", "alert(1)")
    assert repr(Shown("<b>x</b>", "x")) == "x"


def test_plots():
    frame = pd.DataFrame(
        {
            "tone": pd.Categorical(["good", "bad", "good", None]),
            "flag": pd.array([True, False, None, True], dtype="boolean"),
            "stars": pd.array([1, 2, 3, None], dtype="Int64"),
            "topics": [["a", "b"], ["a"], [], None],
            "prose": ["long text one", "long text two", "long text three", "four"],
            "when": pd.to_datetime(["2026-01-01"] * 4),
            "who": [{"name": "a"}, {"name": "b"}, None, {"name": "c"}],
            "people": [[{"name": "a"}], [], None, [{"name": "b"}]],
            "nothing": [None] * 4,
            "$x^$": [1.0, 2.0, float("inf"), None],
        }
    )
    figure = frame.genai.plot()
    titles = [axis.get_title() for axis in figure.axes if axis.get_visible()]
    expected = ["tone (1 missing)", "flag (1 missing)", "stars (1 missing)", "topics (1 missing)"]
    assert titles == [*expected, r"\$x^\$ (2 missing)"]
    assert figure._repr_png_().startswith(b"\x89PNG")
    bars = figure.axes[0].patches
    assert [bar.get_width() for bar in bars] == [1, 2]
    assert [label.get_text() for label in figure.axes[3].get_yticklabels()] == ["b", "a"]
    with pytest.raises(UsageError, match="No column can be drawn"):
        frame[["prose", "when", "who", "people", "nothing"]].genai.plot()
    with pytest.raises(UsageError, match="No column can be drawn"):
        frame.iloc[:0].genai.plot()


def test_without_matplotlib_the_extra_is_named():
    program = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "import pandas as pd, pandas_genai\n"
        "try: pd.DataFrame({'flag': [True]}).genai.plot()\n"
        "except pandas_genai.UsageError as error: print(error)"
    )
    finished = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert finished.stdout == "plot() needs matplotlib: run pip install 'pandas-genai[plot]'.\n"
