"""The bar: rows, not calls."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
import termios

import pandas as pd
import pytest

from pandas_genai import UsageError
from pandas_genai.display.progress import Bar, observer_for
from pandas_genai.runs.progress import Progress, Silent
from pandas_genai.testing import LoopbackProvider

NAN = float("nan")


def test_who_watches():
    mine = Silent()
    assert isinstance(observer_for(None), Bar)
    assert isinstance(observer_for(True), Bar)
    assert isinstance(observer_for(False), Silent)
    assert observer_for(mine) is mine


@pytest.mark.filterwarnings("ignore::pandas_genai.RowsFailedWarning")
def test_one_line_where_the_standard_error_is_no_terminal(capsys):
    frame = pd.DataFrame({"text": [f"t{number}" for number in range(20)] + [None]})
    with LoopbackProvider(lambda text: {"label": "good"}) as provider:
        where = {"base_url": provider.openai_url, "api_key": "k"}
        frame.genai.extract("Tone?", ["good"], **where)
        first = capsys.readouterr()
        frame.genai.extract("Tone?", ["good"], **where)
        second = capsys.readouterr()
        frame.genai.extract("Tone?", ["good"], **where, progress=False)
        third = capsys.readouterr()
    # Not a terminal: one line, the last.
    assert re.fullmatch(r"21 rows done · .* tokens · cost .* s\n", first.err)
    assert re.fullmatch(r"21 rows done · 20 from the cache · .* s\n", second.err)
    assert (first.out, second.out, third.out, third.err) == ("", "", "", "")


class Terminal(io.StringIO):
    """What says that it is a terminal."""

    def isatty(self):
        return True


def test_what_stands_behind_the_bar():
    stream = Terminal()
    bar = Bar(stream)
    bar.started(Progress(10))
    bar.moved(Progress(10, 3, 1, 1, 500, 100, None, 12.0))
    bar.ended(Progress(10, 3, 1, 1, 500, 100, 0.25), "stopped")
    shown = stream.getvalue()
    for part in ("failed=1", "tokens=600", "cost=?", "cost=$0.2500", "12 s: rate limit"):
        assert part in shown


def test_the_download_says_size_and_target_first(capsys):
    bar = Bar()
    for done in (0, 400_000_000, 491_000_000):
        bar.fetching(done, 491_000_000, "cache/model.gguf")
    shown = capsys.readouterr().err
    assert shown.startswith("Downloading the local model: 491 MB into cache/model.gguf")
    assert "491M/491M" in shown


def test_a_terminal_sees_each_state_once_and_a_last_line():
    stream, now = Terminal(), [0.0]
    bar = Bar(stream, lambda: now[0])
    bar.started(Progress(100))
    for done in (10, 20, 30):
        bar.moved(Progress(100, done))
    now[0] = 4.5
    bar.ended(Progress(100, 100), "completed")
    shown = stream.getvalue()
    for done in (10, 20, 30):
        assert shown.count(f" {done}/100") == 1
    assert shown.endswith("\r100 rows done · 4.5 s\n")


def test_a_log_file_has_a_line_every_thirty_seconds_and_a_last_one():
    stream, now = io.StringIO(), [0.0]
    bar = Bar(stream, lambda: now[0])
    bar.started(Progress(2_000))
    for second in range(100):
        now[0] = float(second)
        bar.moved(Progress(2_000, second * 10, 5, 0, 900, 100, 0.5, 3.0 if second > 50 else 0.0))
    bar.ended(Progress(2_000, 1_000, 5, 0, 900, 100, 0.5), "stopped")
    cost = "1,000 tokens · cost $0.5000"
    assert stream.getvalue().splitlines() == [
        f"300 of 2,000 rows · 5 from the cache · {cost}",
        f"600 of 2,000 rows · 5 from the cache · {cost} · waiting 3 s: rate limit",
        f"900 of 2,000 rows · 5 from the cache · {cost} · waiting 3 s: rate limit",
        f"1,000 of 2,000 rows done, then stopped · 5 from the cache · {cost} · 99.0 s",
    ]


def test_a_program_without_a_standard_error(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    bar = Bar()
    bar.started(Progress(1))
    bar.ended(Progress(1, 1), "completed")
    bar.warn("nobody reads this")


def test_a_real_terminal(tmp_path):
    program = (
        "import pandas as pd, pandas_genai\n"
        "from pandas_genai.testing import LoopbackProvider\n"
        "df = pd.DataFrame({'text': [f't{n}' for n in range(40)]})\n"
        "with LoopbackProvider(lambda text: {'label': 'good'}) as provider:\n"
        "    df.genai.extract('Tone?', ['good'], base_url=provider.openai_url, api_key='k')\n"
    )
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=theirs, stdout=theirs, stderr=theirs, cwd=tmp_path
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 65_536)
        except OSError:
            break
        if not part:
            break
        shown += part
    assert process.wait() == 0
    os.close(ours)
    text = shown.decode()
    assert "/40" in text
    assert re.search(r"\r40 rows done · [\d,]+ tokens · cost \$[\d.]+ · [\d.]+ s\r?\n$", text)


@pytest.mark.parametrize("wrong", ["yes", 1, object(), Bar, Silent])
def test_what_is_no_observer_is_refused(wrong):
    with pytest.raises(UsageError, match=r"progress=.* shows nothing: use True or False"):
        observer_for(wrong)
