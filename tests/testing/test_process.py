"""The provider in a process of its own, and as a command."""

from __future__ import annotations

import json
import subprocess
import sys

import openai
import pytest

from pandas_genai.testing import Fault, LoopbackProvider
from pandas_genai.testing.__main__ import main

RULE = "def length(text):\n    return {'length': len(text)}\n"


@pytest.fixture
def rule(tmp_path):
    path = tmp_path / "my_rule.py"
    path.write_text(RULE, encoding="utf-8")
    return f"{path}:length"


def test_in_a_process_of_its_own(sdk, rule):
    faults = [Fault("forbidden", calls={2})]
    with LoopbackProvider.in_process(rule, faults=faults, keys={"k"}, seed=3) as provider:
        assert sdk.results("openai", provider, "four", key="k")[0]["length"] == 4
        assert provider.ledger.rows == 1
        with pytest.raises(openai.PermissionDeniedError):
            sdk.chat(provider, "four", key="k")
        assert sdk.results("anthropic", provider, "five", key="k")[0]["length"] == 4
        with pytest.raises(openai.AuthenticationError):
            sdk.chat(provider, "four", key="other")
        process = provider._process
    assert process.returncode == 0
    assert provider.ledger.calls == 4
    assert provider.ledger.answered == {"four": 1, "five": 1}
    assert provider.ledger.requests[0].body["model"] == "gpt-6-luna"


def test_a_process_that_cannot_start(tmp_path, capfd):
    with pytest.raises(RuntimeError, match="did not start"):
        with LoopbackProvider.in_process("no_such_module:rule"):
            pass
    assert "No module named 'no_such_module'" in capfd.readouterr().err


def test_the_command_ends_with_its_stdin(rule):
    command = [sys.executable, "-m", "pandas_genai.testing", "--rule", rule]
    done = subprocess.run(command, input="", capture_output=True, text=True, check=True)
    urls = json.loads(done.stdout)
    assert urls["openai_url"] == f"{urls['anthropic_url']}/v1"
    assert done.stderr == ""


class Input:
    """Stands in for stdin: what reads it is the test's own turn."""

    def __init__(self, turn):
        self.read = turn


def test_the_command_in_this_process(sdk, monkeypatch, capsys, tmp_path):
    (tmp_path / "importable_rule.py").write_text(RULE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    seen = []

    def turn():
        urls = json.loads(capsys.readouterr().out)
        provider = type("Urls", (), urls)
        seen.extend(sdk.results("openai", provider, "four"))

    monkeypatch.setattr(sys, "stdin", Input(turn))
    options = ["--option", 'models=["gpt-6-luna"]', "--fault", '{"kind": "hang", "calls": [9]}']
    assert main(["--rule", "importable_rule:length", *options]) == 0
    assert seen == [{"input_id": "id-0", "length": 4}]


def test_a_rule_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        main(["--rule", str(tmp_path / "missing.py:rule")])
