"""``ddf.genai.extract`` gives what ``df.genai.extract`` gives."""

import inspect
import pickle
import re
import subprocess
import sys
import time

import dask
import dask.dataframe as dd
import pandas as pd
import postgres_server
import pytest
from pandas.testing import assert_frame_equal

import pandas_genai
from pandas_genai import Task, UsageError
from pandas_genai.store import open_store
from pandas_genai.testing import Fault, LoopbackProvider, Refuse

SCHEDULERS = ["threads", "synchronous"]


def plain(provider, frame, schema, path, **options):
    """What pandas gets, in a cache of its own."""
    return frame.genai.extract(
        "Tone?", schema, cache=path, api_key="k", base_url=provider.openai_url, progress=False
    )


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_it_is_what_pandas_gets(ask, ddf, frame, provider, tmp_path, scheduler):
    labels = ask(ddf)
    assert provider.ledger.calls == 0
    with dask.config.set(scheduler=scheduler):
        computed = labels.compute()
    expected = plain(provider, frame, {"tone": ["good", "bad"], "words": int}, tmp_path / "p")
    assert_frame_equal(computed, expected)
    assert_frame_equal(labels._meta, expected.iloc[:0])
    assert labels.divisions == ddf.divisions


def test_workers_in_processes_of_a_cluster_ask_each_text_once(client, ask, ddf, provider):
    labels = ask(ddf)
    computed = labels.compute()
    assert len(computed) == 40
    assert provider.ledger.answered.most_common(1)[0][1] == 1
    assert len(provider.ledger.answered) == 20
    report = computed.genai.report
    assert (report.rows, report.ok, report.cached, report.failed) == (40, 40, 0, 0)
    assert report.calls == provider.ledger.calls
    assert report.status == "completed"


def test_each_row_may_be_asked_several_times(ask, ddf, frame, provider, tmp_path):
    labels = ask(ddf, repeats=3)
    with dask.config.set(scheduler="threads"):
        computed = labels.compute()
    assert list(labels._meta) == ["tone", "tone_share", "words", "words_share"]
    assert_frame_equal(labels._meta, computed.iloc[:0])
    assert set(provider.ledger.answered.values()) == {3}
    assert computed["tone_share"].tolist() == [1.0] * len(frame)
    report = computed.genai.report
    assert (report.rows, report.ok, report.repeats) == (40, 40, 3)
    assert len(computed.genai.repeats) == 120
    assert computed.genai.requests["request_id"].notna().all()
    again = pandas_genai.replicate(computed.genai.export(tmp_path / "r.zip"), frame)
    assert_frame_equal(again.labels, computed, check_dtype=False)


def test_one_report_and_one_run_for_all_workers(ask, ddf, provider, tmp_path):
    labels = ask(ddf)
    computed = labels.compute()
    assert labels.compute().genai.report == computed.genai.report
    runs = pandas_genai.runs(tmp_path / "c.sqlite")
    assert len(runs) == 1
    report = computed.genai.report
    assert (report.models, report.duplicates) == (["gpt-6-luna"], 0)
    assert report.input_tokens == provider.ledger.tokens_in
    assert report.output_tokens == provider.ledger.tokens_out
    assert report.cost == pytest.approx(runs["cost"].iloc[0])
    assert labels.genai.report == report
    assert labels["tone"].to_frame().genai.report == report


def test_a_failing_row_fails_no_partition(ddf, ask):
    def rule(text):
        if text.endswith("text 7"):
            raise Refuse
        return {"tone": "good", "words": 1}

    with LoopbackProvider(rule) as provider:
        labels = ask(ddf, base_url=provider.openai_url)
        computed = labels.compute()
    assert computed["tone"].isna().sum() == 2
    errors = computed.genai.errors
    assert list(errors.index) == [7, 27]
    assert set(errors["reason"]) == {"refusal"}
    assert computed.genai.report.failed == 2
    assert_frame_equal(labels.genai.errors, errors)


def test_what_was_answered_is_not_asked_again(ask, ddf, provider):
    ask(ddf).compute()
    before = provider.ledger.calls
    again = ask(ddf).compute()
    assert provider.ledger.calls == before
    assert (again.genai.report.cached, again.genai.report.calls) == (40, 0)


def test_fresh_asks_again_and_each_text_once(ask, ddf, provider):
    ask(ddf).compute()
    labels = ask(ddf, fresh=True)
    labels.compute()
    labels.compute()
    assert set(provider.ledger.answered.values()) == {2}


def test_a_task_and_a_series_are_asked(ask, ddf, provider):
    task = Task("Tone?", {"tone": ["good", "bad"], "words": int}, text="text")
    given = {"cache": "s.sqlite", "api_key": "k", "base_url": provider.openai_url}
    of_task = ddf.genai.extract(task, progress=False, **given).compute()
    assert_frame_equal(of_task, ask(ddf).compute(), check_names=True)
    of_series = ask(ddf["text"]).compute()
    assert_frame_equal(of_series, of_task)


def test_the_arguments_are_those_of_pandas():
    data = dd.from_pandas(pd.DataFrame({"text": ["a"]}), npartitions=1)
    ours = inspect.signature(data.genai.extract).parameters
    theirs = inspect.signature(pd.DataFrame({"text": ["a"]}).genai.extract).parameters
    assert [str(one) for one in ours.values()] == [str(one) for one in theirs.values()]
    with pytest.raises(UsageError, match="did you mean max_cost"):
        data.genai.extract("Tone?", ["a"], max_costs=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cache": None}, "cache= is needed on a Dask DataFrame, .*postgresql://"),
        ({"cache": False}, "cache= is needed"),
        ({"cache": pandas_genai.SqliteCache(None)}, "cache= is needed"),
        ({"client": object()}, "client= cannot be sent to workers"),
        ({"on_error": "raise"}, "on_error='raise' is not offered"),
        ({"text": "body"}, "text='body' names no column"),
        ({"max_cost": -1}, "max_cost"),
        ({"max_cost": 1.0, "model": "unheard-of"}, "unheard-of"),
        ({"params": {"temprature": 0}}, "temprature"),
    ],
)
def test_what_cannot_work_is_refused_at_once(ask, ddf, provider, options, message):
    with pytest.raises(UsageError, match=message):
        ask(ddf, **options)
    assert provider.ledger.calls == 0


def test_the_columns_must_be_known(ddf):
    with pytest.raises(UsageError, match="schema= is needed"):
        ddf.genai.extract("What is said?", cache="c.sqlite", api_key="k")


def test_batches_are_for_frames_in_memory(ddf):
    with pytest.raises(AttributeError, match="one file at the vendor: submit a frame"):
        ddf.genai.batch_submit("Tone?", ["good", "bad"])
    with pytest.raises(AttributeError, match=re.escape(".genai.estimate(...)")):
        ddf.genai.estimate("Tone?", ["good", "bad"])
    assert not hasattr(ddf.genai, "nothing")


def test_a_wrong_key_ends_the_job_with_one_error_and_few_calls(client, ddf, ask):
    with LoopbackProvider(lambda text: {}, keys=["right"]) as provider:
        labels = ask(ddf.repartition(npartitions=16), base_url=provider.openai_url, max_workers=1)
        with pytest.raises(pandas_genai.StopRunError, match="the key was not accepted"):
            labels.compute()
        # One for each partition that was under way: 2 processes with 2 threads.
        assert provider.ledger.calls <= 4
    assert labels.genai.report.status == "failed"


def test_a_run_that_an_error_ended_goes_on(ddf, ask, provider):
    labels = ask(ddf, max_workers=1, chunk_size=1)
    provider.faults = [Fault("payment_required", calls=range(4, 1000))]
    with dask.config.set(scheduler="synchronous"):
        with pytest.raises(pandas_genai.StopRunError):
            labels.compute()
        assert labels.genai.report.status == "failed"
        provider.faults = []
        assert labels.compute().genai.report.status == "completed"
    assert set(provider.ledger.answered.values()) == {1}


def test_no_secret_shows(ask, ddf):
    labels = ask(ddf, api_key="sk-very-secret")
    graph = labels.optimize().__dask_graph__()
    shown = [repr(labels), str(labels.expr.tree_repr()), repr(graph), repr(list(graph.values()))]
    assert "sk-very-secret" not in " ".join(shown)
    assert "sk-very-secret" not in " ".join(map(str, graph))


def test_errors_reach_the_client_from_another_process():
    errors = [
        pandas_genai.StopRunError("No key.", reason="unauthorized", request_id="r1"),
        pandas_genai.BudgetError("Spent.", spent=1.5),
        pandas_genai.Stopped("Stopped."),
        pandas_genai.RowsFailedError("Two failed.", pd.DataFrame({"a": [1]})),
        pandas_genai.WaitError("Wait.", reason="rate limit", retry_after=2.0),
        pandas_genai.SchemaError("Wrong."),
    ]
    for error in errors:
        if isinstance(error, pandas_genai.Stopped):
            error.carry(open)  # a frame that only this process can build
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again)) == (type(error), str(error))
        assert vars(again).keys() == vars(error).keys() - {"_build"}


def test_a_database_is_shared_and_its_password_never_shown(
    client, ask, ddf, provider, postgres_url, postgres, caplog
):
    labels = ask(ddf, cache=postgres_url)
    graph = labels.optimize().__dask_graph__()
    shown = [repr(labels), labels.expr.tree_repr(), repr(graph), repr(list(graph.values()))]
    shown += [repr(one) for one in graph]
    computed = labels.compute()
    assert set(provider.ledger.answered.values()) == {1}
    assert computed.genai.report.ok == 40
    shown += [repr(client.get_worker_logs()), repr(client.get_events()), caplog.text]
    shown += [repr(pandas_genai.runs(postgres_url).to_dict())]
    for secret in (postgres_server.PASSWORD, postgres_server._QUOTED):
        assert secret not in " ".join(shown)
    # An open store says no password either, and its workers find it.
    with open_store(postgres_url)[0] as store:
        assert ask(ddf, cache=store).compute().genai.report.cached == 40


def test_one_budget_for_all_workers(client, ask, frame, provider):
    texts = pd.DataFrame({"text": [f"a good text {number}" for number in range(400)]})
    many = dd.from_pandas(texts, npartitions=8)
    prices = {"input": 1.0, "output": 1.0}  # dollars per million tokens
    labels = ask(many, max_cost=0.004, prices=prices, max_workers=2)
    with pytest.raises(pandas_genai.BudgetError, match="max_cost"):
        labels.compute()
    time.sleep(1.0)  # what was under way elsewhere ends
    spent = (provider.ledger.tokens_in + provider.ledger.tokens_out) / 1e6
    assert 0.002 <= spent <= 0.004
    assert labels.genai.report.cost == pytest.approx(spent)
    calls = provider.ledger.calls
    again = ask(many, prices=prices).compute()
    assert set(provider.ledger.answered.values()) == {1}
    assert len(again) == 400
    assert provider.ledger.calls > calls


def test_offline_reads_what_is_kept(ask, ddf, provider, tmp_path):
    with pytest.raises(UsageError, match=r"There is no cache .* to read offline"):
        ask(ddf, offline=True)
    assert not (tmp_path / "c.sqlite").exists()
    ask(ddf.partitions[:2]).compute()
    calls = provider.ledger.calls
    labels = ask(ddf, offline=True, api_key=None).compute()
    assert labels["tone"].notna().all()
    assert provider.ledger.calls == calls


def test_sizes_are_those_of_this_kernel(client, ask, ddf, provider, monkeypatch):
    monkeypatch.setenv("CHUNK_SIZE", "1")  # the workers were started before
    ask(ddf).compute()
    assert provider.ledger.calls == 20


def test_without_dask_one_sentence_says_what_to_install():
    code = (
        "import sys; sys.modules['dask'] = None\n"
        "try:\n    import pandas_genai.dask\nexcept Exception as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "pandas_genai.dask needs Dask: run pip install 'pandas-genai[dask]'.\n"
