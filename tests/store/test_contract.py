"""What holds of every store."""

import json

import pytest

from pandas_genai.store import (
    AnswerStore,
    FailureRecord,
    RequestRecord,
    RunRecord,
    TaskRecord,
    open_store,
)

TASK, OTHER = "a" * 32, "b" * 32


def keys(count):
    return [f"{number:032x}" for number in range(count)]


def run_record(run_id="r1", started="2026-11-01T10:00:00.000+00:00", **columns):
    return RunRecord(
        run_id=run_id,
        prompt_hash=TASK,
        kind="extract",
        status="running",
        started=started,
        **columns,
    )


def test_answers_are_found_under_their_task_and_text_alone(cache, save):
    save(cache, {"k1": "1", "k2": "2"})
    assert cache.read(TASK, ["k2", "k1", "k3"]) == {"k1": "1", "k2": "2"}
    assert cache.present(TASK, ["k2", "k3"]) == {"k2"}
    assert cache.read(OTHER, ["k1"]) == {}
    assert cache.present(OTHER, ["k1"]) == set()
    assert cache.read(TASK, []) == {}
    assert cache.present(TASK, []) == set()


def test_tasks_live_side_by_side(cache, save):
    save(cache, {"k": "1"})
    save(cache, {"k": "2"}, OTHER)
    assert cache.read(TASK, ["k"]) == {"k": "1"}
    assert cache.read(OTHER, ["k"]) == {"k": "2"}


def test_a_later_answer_replaces_an_earlier_one(cache, save, answer):
    save(cache, {"k": "1"})
    writer = cache.writer()
    writer.put([answer("k", "2"), answer("k", "3")])
    writer.put([answer("k", "4")])
    writer.close()
    assert cache.read(TASK, ["k"]) == {"k": "4"}


def test_a_repeat_is_kept_but_not_looked_up(cache, answer):
    writer = cache.writer()
    writer.put([answer("k", "1"), answer("k", "2", repeat=1), answer("only", "3", repeat=1)])
    writer.close()
    assert cache.read(TASK, ["k", "only"]) == {"k": "1"}
    assert cache.present(TASK, ["k", "only"]) == {"k"}


def test_many_keys_are_looked_up_in_blocks(cache, save):
    some = keys(5_000)
    save(cache, {key: str(number) for number, key in enumerate(some)})
    asked = [*reversed(some), "missing", some[7]]
    assert cache.read(TASK, asked) == {key: str(number) for number, key in enumerate(some)}
    assert cache.present(TASK, asked) == set(some)


@pytest.mark.parametrize(
    "text",
    ["é e\u0301 🎻 \u202e \u2028", "a\x00b", 'quote " \\ \r\n', "half \ud83d", "x" * 2_000_000],
)
def test_any_text_comes_back(cache, save, text):
    save(cache, {"k": json.dumps({"x": text}, ensure_ascii=False), "neighbour": "{}"})
    found = cache.read(TASK, ["k", "neighbour"])
    assert json.loads(found["k"]) == {"x": text}
    assert found["neighbour"] == "{}"
    cache.put(text, {"x": text})
    assert cache.get(text) == {"x": text}


def test_put_and_get_by_id(cache):
    assert cache.get("1") is None
    cache.put("1", {"tone": "good"}, TASK)
    cache.put("2", [1, None, "ü"])
    assert cache.get("1") == {"tone": "good"}
    assert cache.get("1", TASK) == {"tone": "good"}
    assert cache.get("1", OTHER) is None
    assert cache.get("2") == [1, None, "ü"]
    assert cache.get(2) == [1, None, "ü"]
    assert cache.all_ids() == {"1", "2"}
    assert cache.all_ids(TASK) == {"1"}
    assert cache.all_ids(OTHER) == set()
    assert cache.read(TASK, ["1"]) == {}


def test_the_newest_answer_of_an_id_is_returned(cache):
    cache.put("1", "first", TASK)
    cache.put("1", "second", OTHER)
    assert (cache.get("1"), cache.get("1", TASK)) == ("second", "first")
    cache.put("0", "elsewhere", OTHER)
    cache.put("1", "third", TASK)
    assert (cache.get("1"), cache.get("1", TASK)) == ("third", "third")
    assert cache.get("1", OTHER) == "second"


def test_what_is_no_json_cannot_be_put(cache):
    with pytest.raises(TypeError):
        cache.put("1", object())
    assert cache.all_ids() == set()


def test_remembered_ids_find_the_answers_that_come_later(cache, save):
    cache.put("1", "by hand", OTHER)
    cache.remember_ids(TASK, [("1", "k1"), ("2", "k1"), ("3", "k3")])
    assert cache.all_ids() == {"1"}
    assert cache.get("1") == "by hand"
    save(cache, {"k1": '"asked"'})
    assert cache.all_ids() == cache.all_ids(TASK) | {"1"} == {"1", "2"}
    assert (cache.get("1"), cache.get("2"), cache.get("3")) == ("asked", "asked", None)


def test_remembering_an_id_keeps_what_was_put_by_hand(cache, save):
    cache.put("1", "by hand", TASK)
    cache.remember_ids(TASK, iter([("1", "k1")]))
    assert cache.get("1") == "by hand"
    save(cache, {"k1": '"asked"'})
    assert cache.get("1") == "asked"
    cache.put("1", "corrected", TASK)
    assert cache.get("1") == "corrected"


def test_many_ids_are_remembered(cache, save):
    save(cache, {"k": "1"})
    cache.remember_ids(TASK, ((str(number), "k") for number in range(25_000)))
    assert len(cache.all_ids(TASK)) == 25_000


def test_tasks_are_kept_in_clear_once(cache):
    task = TaskRecord(TASK, "Tone? ü", "{}", "m", "openai", "host", '{"a": 1}', "You label …")
    cache.save_task(task)
    cache.save_task(TaskRecord(TASK, "other", "{}", "m", "openai", "host", "{}", ""))
    cache.save_task(TaskRecord(OTHER, "Year?", "{}", "m", "openai", "host", "{}", ""))
    newest, first = cache.tasks()
    created = first.pop("created")
    assert first == {
        "prompt_hash": TASK,
        "prompt": "Tone? ü",
        "schema": "{}",
        "model": "m",
        "backend": "openai",
        "host": "host",
        "params": '{"a": 1}',
        "system": "You label …",
    }
    assert created.endswith("+00:00")
    assert newest["prompt"] == "Year?"


def test_a_run_is_recorded_and_ended(cache):
    assert cache.runs() == []
    cache.start_run(run_record(rows=10, cached=3, empty=1, twins=2, host="api.example"))
    cache.end_run("r1", status="completed", ok=9, cost=0.25, models='["m-1"]')
    (run,) = cache.runs()
    assert list(run) == list(RunRecord.__dataclass_fields__)
    changed = {"status": "completed", "ok": 9, "cost": 0.25, "models": '["m-1"]'}
    assert changed.items() <= run.items()
    assert {"rows": 10, "cached": 3, "empty": 1, "twins": 2, "ended": None}.items() <= run.items()
    cache.end_run("r1", cost=None)
    assert cache.runs()[0]["cost"] is None
    assert cache.runs()[0]["ok"] == 9
    cache.end_run("nobody", ok=1)
    assert len(cache.runs()) == 1


def test_a_run_has_no_other_columns(cache):
    cache.start_run(run_record())
    with pytest.raises(TypeError, match="no column 'colour'"):
        cache.end_run("r1", ok=1, colour="red")
    assert cache.runs()[0]["ok"] == 0


def test_runs_come_newest_first(cache):
    for run_id, hour in [("old", 1), ("new", 3), ("middle", 2)]:
        cache.start_run(run_record(run_id, f"2026-11-01T0{hour}:00:00.000+00:00"))
    cache.end_run("old", ok=1)
    assert [run["run_id"] for run in cache.runs()] == ["new", "middle", "old"]


def test_failures_come_back_in_the_order_of_the_input(cache):
    failures = [
        FailureRecord("r1", 5, '"b"', "k", "refusal", "No. \ud83d", 3, "req_1"),
        FailureRecord("r1", 2, "[1, 2]", None, "empty text", "Nothing to send."),
    ]
    cache.save_failures("r1", iter(failures))
    cache.save_failures("r2", [])
    first, second = cache.failures("r1")
    assert first == {
        "run_id": "r1",
        "position": 2,
        "label": "[1, 2]",
        "text_hash": None,
        "reason": "empty text",
        "message": "Nothing to send.",
        "attempts": 0,
        "request_id": None,
    }
    assert (second["position"], second["message"], second["attempts"]) == (5, "No. \\ud83d", 3)
    assert cache.failures("r2") == []


def test_records_cannot_be_changed(answer):
    for record in (run_record(), answer("k")):
        with pytest.raises(AttributeError):
            record.run_id = "other"
        assert not hasattr(record, "__dict__")


def test_the_latest_reason_of_every_text_that_failed(cache):
    for run_id, hour in [("second", 2), ("first", 1)]:
        cache.start_run(run_record(run_id, f"2026-11-01T0{hour}:00:00.000+00:00"))
    cache.save_failures("first", [FailureRecord("first", 0, "0", "a", "timeout", "Late.")])
    again = [FailureRecord("second", 0, "0", "a", "refusal", "No.")]
    again += [FailureRecord("second", 1, "1", None, "empty text", "Nothing to send.")]
    cache.save_failures("second", again)
    task = cache.runs()[0]["prompt_hash"]
    assert cache.failed(task) == {"a": "refusal"}
    assert cache.failed("another") == {}


def test_single_answers_that_failed_are_remembered_and_are_no_rows(cache):
    cache.start_run(run_record("run", "2026-11-01T01:00:00.000+00:00"))
    row = FailureRecord("run", 3, "3", "a", "timeout", "Late.")
    answer = FailureRecord("run", 1 << 31, None, "b", "refusal", "No.")
    cache.save_failures("run", [row, answer])
    assert [found["text_hash"] for found in cache.failures("run")] == ["a"]
    task = cache.runs()[0]["prompt_hash"]
    assert cache.failed(task) == {"a": "timeout", "b": "refusal"}


def test_it_is_a_store(cache):
    assert isinstance(cache, AnswerStore)
    assert cache.shown
    assert cache.damaged() == 0


def test_whoever_opens_its_url_has_the_same_answers(cache, save):
    save(cache, {"k": "1"})
    if cache.url is not None:
        again, ours = open_store(cache.url)
        assert ours
        with again:
            assert again.url == cache.url
            assert again.read(TASK, ["k"]) == {"k": "1"}
            save(again, {"k2": "2"})
    assert open_store(cache) == (cache, False)
    assert cache.present(TASK, ["k", "k2"]) == ({"k"} if cache.url is None else {"k", "k2"})


def test_the_row_keys_of_a_run_come_back_in_the_order_of_its_input(cache):
    rows = [bytes.fromhex(key) for key in (*reversed(keys(20)), *keys(3))]
    cache.save_run_rows("r1", [b"".join(rows[:8]), b"".join(rows[8:])])
    cache.save_run_rows("r2", iter([b"".join(rows[:8])]))
    expected = [None if not any(row) else row.hex() for row in rows]
    assert cache.run_rows("r1") == expected
    assert cache.run_rows("r2") == expected[:8]
    assert cache.run_rows("r3") == []


def test_one_run_is_found_by_its_id(cache):
    for run_id in ("r1", "r2"):
        cache.start_run(run_record(run_id))
    assert [run["run_id"] for run in cache.runs("r2")] == ["r2"]
    assert cache.runs("r3") == []


def test_calls_are_recorded_with_their_answers(cache, answer):
    call = RequestRecord("r1", TASK, keys(2), "req", "m", "m-1", "{}", 2, 1, "refusal", 7, 3, 0, 5)
    alone = RequestRecord("r2", TASK, keys(1), None, "m", "m", "{}", 1, 1, "timeout", None, None)
    writer = cache.writer()
    writer.put([answer(key, request=call) for key in keys(2)])
    writer.put([], requests=[alone])
    writer.close()
    (one,) = cache.requests("r1")
    expected = {"request_id": "req", "rows": keys(2), "attempts": 2, "input_tokens": 7}
    assert expected.items() <= one.items()
    assert len(cache.requests()) == 2
    assert cache.requests("r2")[0]["input_tokens"] is None
    assert [call["id"] for call in cache.requests()] == sorted(c["id"] for c in cache.requests())


def test_who_gave_each_answer_and_what_it_took(cache, answer):
    some = keys(4)
    call = RequestRecord(
        run_id="r1", prompt_hash=TASK, rows=some[:3], request_id="req", model="m",
        model_answered="m-1", params_sent='{"temperature": 0}', cost=0.03,
    )  # fmt: skip
    writer = cache.writer()
    together = [
        answer(key, model="m", model_answered="m-1", run_id="r1", request=call, output_tokens=4)
        for key in some[:2]
    ]
    writer.put(together, requests=[call])
    writer.put([answer(some[3], model="x")])
    writer.close()
    found = {one.text_hash: one for one in cache.provenance(TASK, [*some, "missing"])}
    assert set(found) == {some[0], some[1], some[3]}
    first, second, alone = (found[some[at]] for at in (0, 1, 3))
    assert first.request == second.request is not None
    assert (first.model, first.model_answered, first.run_id) == ("m", "m-1", "r1")
    assert (first.params_sent, first.output_tokens) == ('{"temperature": 0}', 4)
    assert first.cost == pytest.approx(0.01)  # three rows were asked for together
    known, unknown = cache.origins(TASK, some)
    assert (known.answers, known.priced, unknown.priced) == (2, 2, 0)
    assert known.cost == pytest.approx(0.02)
    assert unknown.cost == 0
    assert (alone.model, alone.request, alone.params_sent, alone.cost) == ("x", None, None, None)
    assert alone.created


def test_where_answers_come_from(cache, answer):
    writer = cache.writer()
    some = keys(5)
    writer.put([answer(key, model="m", output_tokens=4) for key in some[:2]])
    writer.put([answer(key, model="m", model_answered="m-1", output_tokens=8) for key in some[2:]])
    writer.put([answer("other", task=OTHER, model="x", output_tokens=100)])
    writer.close()
    first, second = cache.origins(TASK, [*some, "missing"])
    assert (first.model, first.answers, first.output_tokens) == ("m-1", 3, 24)
    assert (second.model, second.answers) == ("m", 2)
    assert first.first <= first.last
    assert [one.answers for one in cache.origins(TASK, some[:1])] == [1]
    assert cache.answer_tokens(TASK) == pytest.approx(6.4)
    assert cache.answer_tokens("c" * 32) is None
