"""What every test gets: a clean environment, no network but loopback, awkward frames."""

from __future__ import annotations

import functools
import importlib.util
import ipaddress
import os
import signal
import socket
import sys
from datetime import UTC, datetime
from pathlib import Path

import hypothesis
import numpy as np
import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for the server of these tests

_MINE = ("DEFAULT_MODEL", "DEFAULT_BACKEND", "MAX_WORKERS", "CHUNK_SIZE")
_PREFIXES = ("OPENAI_", "ANTHROPIC_", "PANDAS_GENAI_", "PG")
_KEPT = ("PANDAS_GENAI_GGUF",)
_changed = set()
_HEAVY = ("tests/browser/", "tests/local/test_server.py")


_CAMPAIGN = 10  # times as many cases are drawn for a property as in the suite
_FAST = 5  # times as few of them with -m "not slow", for every save; where CI= is set, all
# What -m "not slow" leaves out: tests that start processes, browsers, kernels or builds, that fill
# tables of hundreds of cases with runs, simulate studies, or draw many cases. All else is for every
# save: about a minute and a half of two cores.
_SLOW = (
    "tests/accessor/test_packing.py",
    "tests/backends/test_foreign_answers.py",
    "tests/backends/test_http.py::test_a_call_ends_with_its_time",
    "tests/backends/test_http.py::test_the_body_of_a_users_own",
    "tests/backends/test_secrets.py::test_batch",
    "tests/backends/test_secrets.py::test_live",
    "tests/backends/test_tls.py::test_every_body",
    "tests/backends/test_vendor_names.py::test_damage",
    "tests/batch/test_damaged.py",
    "tests/batch/test_exactly_once.py::test_killed",
    "tests/batch/test_original_jobs.py::test_whatever_was_begun",
    "tests/batch/test_parts.py::test_a_full_disk",
    "tests/batch/test_stopped.py",
    "tests/batch/test_two_kernels.py::test_submitting_at_once",
    "tests/browser/",
    "tests/dask/",
    "tests/display/test_coding.py::test_a_saved_notebook",
    "tests/display/test_final_line.py",
    "tests/display/test_overnight_notebooks.py",
    "tests/display/test_plot.py",
    "tests/display/test_progress.py::test_a_real_terminal",
    "tests/display/test_reading.py::test_any_filtered",
    "tests/display/test_states.py::test_warnings_and_errors",
    "tests/extract/test_budget_bounds.py",
    "tests/extract/test_estimate.py::test_a_million_rows",
    "tests/extract/test_estimate.py::test_a_sample_foretells",
    "tests/extract/test_faults.py::test_thousands_of_rows",
    "tests/extract/test_kills.py",
    "tests/extract/test_large.py",
    "tests/extract/test_poison.py",
    "tests/extract/test_repeats_faults.py",
    "tests/extract/test_shared_budget.py::test_a_process",
    "tests/extract/test_stop.py",
    "tests/extract/test_stopped_early.py::test_while_the_sdk",
    "tests/extract/test_useless.py",
    "tests/local/",
    "tests/runs/test_report.py::test_a_later_kernel",
    "tests/store/test_broken_stores.py",
    "tests/store/test_contract_processes.py",
    "tests/store/test_damage.py",
    "tests/store/test_original.py",
    "tests/store/test_postgres_outages.py",
    "tests/store/test_processes.py",
    "tests/store/test_two_processes.py",
    "tests/store/test_upgrade.py",
    "tests/task/test_quotes.py::test_quotes_in_twenty",
    "tests/task/test_schema_properties.py",
    "tests/task/test_schema_vendors.py::test_at_the_limit",
    "tests/test_doctests.py",
    "tests/test_fault_table.py",
    "tests/test_fault_table_store.py",
    "tests/test_layers.py",
    "tests/test_main.py",
    "tests/test_pages.py",
    "tests/test_structure.py::test_importing",
    "tests/test_structure.py::test_the_wheel",
    "tests/testing/",
    "tests/validity/inference/test_coverage.py",
    "tests/validity/test_agreement.py::test_a_million",
    "tests/validity/test_agreement.py::test_intervals",
    "tests/validity/test_coding.py::test_killed",
    "tests/validity/test_evaluate.py::test_intervals",
    "tests/validity/test_sampling.py::test_rows_are_drawn",
    "tests/workers/test_kernels_together.py",
    "tests/workers/test_rates.py",
    "tests/workers/test_requests_recorded.py",
)


def _is_part(option):
    everything = option.markexpr in {"", "not campaign"}
    return option.keyword or not everything or getattr(option, "lf", False)


def pytest_itemcollected(item):
    """Mark what is slow; let every property draw more cases in a campaign, fewer in a fast run."""
    if item.nodeid.startswith(_SLOW) or item.get_closest_marker("campaign"):
        item.add_marker(pytest.mark.slow)
    drawn = getattr(getattr(item, "obj", None), "_hypothesis_internal_use_settings", None)
    if drawn is None:
        return
    expression = item.config.option.markexpr
    is_campaign = "campaign" in expression and "not campaign" not in expression
    if is_campaign:
        item.add_marker(pytest.mark.campaign)
    is_fast = "not slow" in expression and not os.environ.get("CI")
    if (is_campaign or is_fast) and item.function not in _changed:
        _changed.add(item.function)
        cases = drawn.max_examples * _CAMPAIGN if is_campaign else drawn.max_examples // _FAST + 1
        item.function._hypothesis_internal_use_settings = hypothesis.settings(
            drawn, max_examples=cases
        )


def pytest_configure(config):
    """The coverage report and its floor are for the whole suite, not for a part of it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # Started in the background of a shell. Stop, which tests press in processes of theirs, must
        # not be ignored there.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    option = config.option
    coverage = config.pluginmanager.get_plugin("_cov")
    if coverage is not None and (not whole or _is_part(option)):
        coverage.options.cov_fail_under = 0
        coverage.options.cov_report = {}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Where tests run side by side, those that need the machine for themselves take turns.

    The marks of pytest-xdist 3.8 for that have no effect under pytest 9.2.
    """
    from xdist.scheduler import LoadScopeScheduling

    class InTurn(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return "heavy" if nodeid.startswith(_HEAVY) else nodeid

    return InTurn(config, log)


class _Guard:
    """Refuses every connection that leaves this machine, and remembers it.

    It stands before Python's own socket functions. An audit hook would see more, but it runs
    Python for every event of the interpreter: a thread that starts while another is in it cannot
    set coverage's trace function (CPython 3.11 raises), and is dead before its first line.
    """

    def __init__(self):
        self.on = False
        self.refused = []

    def watch(self, owner, name, host_of):
        """Put a check before a function or method; ``host_of`` finds the host in its arguments."""
        inner = getattr(owner, name)

        @functools.wraps(inner)
        def checked(*args, **kwargs):
            host = host_of(*args, **kwargs)
            if self.on and not self._here(host):
                self.refused.append(f"{name} {host}")
                raise ConnectionRefusedError(f"tests do not leave this machine: {name} {host}")
            return inner(*args, **kwargs)

        setattr(owner, name, checked)

    @staticmethod
    def _here(host):
        host = host.decode() if isinstance(host, bytes) else host
        if host in {"", "localhost"}:
            return True
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return False


def _host_in(address):
    return address[0] if isinstance(address, tuple) else ""


_GUARD = _Guard()
_GUARD.watch(socket.socket, "connect", lambda _, address: _host_in(address))
_GUARD.watch(socket.socket, "connect_ex", lambda _, address: _host_in(address))
_GUARD.watch(socket.socket, "sendto", lambda _, *args: _host_in(args[-1]))
_GUARD.watch(socket, "getaddrinfo", lambda host, *_, **__: host or "")


@pytest.fixture(autouse=True)
def no_network():
    """Fail the test that connects to anything but loopback, even if the error was swallowed."""
    _GUARD.refused.clear()
    _GUARD.on = True
    yield
    _GUARD.on = False
    assert not _GUARD.refused, f"the test tried to leave this machine: {_GUARD.refused}"


@pytest.fixture(autouse=True)
def clean_place(tmp_path, monkeypatch):
    """An empty working directory, no keys, no settings. HOME stays: the weights lie there."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        upper = name.upper()
        ours = upper in _MINE or upper.startswith(_PREFIXES)
        if (ours or upper.endswith(("_API_KEY", "_BASE_URL"))) and upper not in _KEPT:
            monkeypatch.delenv(name)
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost,::1")
    return tmp_path


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL server of this session; skips where none is installed, unless one must be."""
    import postgres_server

    pytest.importorskip("psycopg", exc_type=ImportError)
    programs = postgres_server.binaries()
    if programs is None:
        reason = "no PostgreSQL server (initdb) is installed"
        if os.environ.get("POSTGRES_TESTS") == "required":
            pytest.fail(reason)
        pytest.skip(reason)
    server = postgres_server.PostgresServer(programs)
    yield server
    server.close()


@pytest.fixture
def postgres_url(postgres):
    """The URL of a store that is not there yet, in a schema of this test."""
    schema = postgres.new_schema()
    yield postgres.url(schema)
    postgres.drop(schema)


@pytest.fixture(scope="session")
def weights_or_reason():
    """The path of the embedded model's verified weights, or why there is none."""
    from pandas_genai import local
    from pandas_genai.errors import LocalModelError

    before, _GUARD.on = _GUARD.on, False
    try:
        return local.weights(), ""
    except LocalModelError as error:
        return None, f"the local model cannot be fetched: {error}"
    finally:
        _GUARD.on = before


@pytest.fixture(scope="session")
def weights(weights_or_reason):
    """The embedded model's weights; skips where no source has them."""
    path, reason = weights_or_reason
    if path is None:
        pytest.skip(reason)
    return path


@pytest.fixture(scope="session")
def specs():
    """Both vendors' published schemas."""
    path = Path(__file__).with_name("specs") / "validator.py"
    spec = importlib.util.spec_from_file_location("spec_validator", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.spec_validator()


@pytest.fixture
def frames():
    """Awkward frames by name. Each has a column ``text``, but for ``no_text_column``."""
    texts = ["The first text.", "The second text.", "The third text."]
    plain = pd.DataFrame({"text": texts, "year": [2001, 2002, 2003]})
    columns = pd.MultiIndex.from_product([["text"], [0, 1]])
    return {
        "plain": plain,
        "empty": plain.iloc[:0],
        "one_row": plain.iloc[:1],
        "duplicate_index": plain.set_index(pd.Index([7, 7, 7])),
        "string_index": plain.set_index(pd.Index(["b", "a", "c"], name="doc")),
        "multi_index": plain.set_index(
            pd.MultiIndex.from_tuples([("a", 1), ("a", 2), ("b", 1)], names=["firm", "year"])
        ),
        "duplicate_multi_index": plain.set_index(
            pd.MultiIndex.from_tuples([("a", 1), ("a", 1), ("b", 1)])
        ),
        "datetime_index": plain.set_index(pd.date_range("2026-01-01", periods=3, tz="UTC")),
        "missing": pd.DataFrame({"text": ["A text.", None, np.nan, "", "  \n\t"]}),
        "missing_object": pd.DataFrame(
            {"text": pd.Series(["A text.", None, np.nan, pd.NA, pd.NaT], dtype=object)}
        ),
        "twins": pd.DataFrame({"text": ["same", "same", "other", "same"]}),
        "emoji": pd.DataFrame(
            {"text": ["🎻 naïve — “quoted”", "\u202eright to left", "é e\u0301"]}
        ),
        "controls": pd.DataFrame(
            {"text": ["a\x00b", "line\u2028break", 'quote " and \\ and \r\n']}
        ),
        "large": pd.DataFrame({"text": ["x" * 1_000_000, "short"]}),
        "python_strings": pd.DataFrame({"text": pd.array(texts, pd.StringDtype("python"))}),
        "arrow_strings": pd.DataFrame({"text": pd.array(texts, pd.StringDtype("pyarrow"))}),
        "object": pd.DataFrame({"text": pd.Series(texts, dtype=object)}),
        "categorical": pd.DataFrame({"text": pd.Categorical(texts)}),
        "datetimes": pd.DataFrame(
            {"text": texts, "when": [datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2, 3)]}
        ),
        "numbers": pd.DataFrame({"text": [1, 2.5, True]}, dtype=object),
        "column_genai": pd.DataFrame({"text": texts, "genai": [1, 2, 3]}),
        "no_text_column": pd.DataFrame({"year": [2001, 2002]}),
        "two_text_columns": pd.DataFrame({"title": ["a", "b"], "body": ["c", "d"]}),
        "duplicate_columns": pd.DataFrame([["a", "b"]], columns=["text", "text"]),
        "multi_columns": pd.DataFrame([["a", 1]], columns=columns),
    }
