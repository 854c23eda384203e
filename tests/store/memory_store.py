"""A second ``AnswerStore``: dictionaries of this process, under a name."""

import itertools
import json
import logging
import threading
import time
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field, replace

from pandas_genai.errors import CacheError
from pandas_genai.redaction import public_url
from pandas_genai.store import BudgetBlock, Granted, Origin, Provenance, RunRecord, Scheme
from pandas_genai.store.blocks import granted, refilled
from pandas_genai.store.parts import POSITIONS, SUPERSEDED, counted
from pandas_genai.store.records import named, now, storable, unpacked_keys

SCHEME = "memory"
STORES = {}
"""What is kept, by URL: as long as this process lives."""


@dataclass
class Tables:
    """What is kept."""

    lock: threading.RLock = field(default_factory=threading.RLock)
    numbers: object = field(default_factory=lambda: itertools.count(1))
    answers: dict = field(default_factory=dict)
    requests: dict = field(default_factory=dict)
    tasks: dict = field(default_factory=dict)
    runs: dict = field(default_factory=dict)
    parts: dict = field(default_factory=dict)
    rows: dict = field(default_factory=lambda: defaultdict(dict))
    failures: dict = field(default_factory=dict)
    ids: dict = field(default_factory=dict)
    blocks: list = field(default_factory=list)
    jobs: dict = field(default_factory=dict)
    rates: dict = field(default_factory=dict)
    spent: dict = field(default_factory=dict)
    budgets: dict = field(default_factory=lambda: defaultdict(dict))


def is_there(url):
    return public_url(url) in STORES


def opened(kind):
    """Return the scheme of a kind of store."""
    return Scheme(kind, is_there)


class MemoryStore:
    """Keeps everything in dictionaries; whoever opens the same URL has the same."""

    @property
    def writing(self):
        """The kind of its writers."""
        return MemoryWriter

    def __init__(self, url):
        self.url = self.shown = public_url(url)
        self._kept = STORES.setdefault(self.url, Tables())
        self._writers = []
        self._closed = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def tables(self):
        if self._closed:
            raise CacheError(f"The store {self.shown} is closed: open it again.")
        return self._kept

    def close(self):
        self._closed = True
        for writer in self._writers:
            writer.close()

    # Answers

    def present(self, prompt_hash, text_hashes, run_id=None):
        found, answers = self.read(prompt_hash, text_hashes), self.tables.answers
        runs = {key: answers[prompt_hash, key, 0]["run_id"] for key in found}
        return {key for key, run in runs.items() if run_id in (None, run)}

    def read(self, prompt_hash, text_hashes):
        tables = self.tables
        with tables.lock:
            found = ((key, tables.answers.get((prompt_hash, key, 0))) for key in text_hashes)
            return {key: answer["result"] for key, answer in found if answer is not None}

    def damaged(self):
        return 0

    def _answers(self, prompt_hash):
        tables = self.tables
        with tables.lock:
            return [
                answer
                for (task, _, repeat), answer in tables.answers.items()
                if (task, repeat) == (prompt_hash, 0)
            ]

    def answer_tokens(self, prompt_hash):
        counts = [answer["output_tokens"] for answer in self._answers(prompt_hash)]
        counts = [count for count in counts if count > 0]
        return sum(counts) / len(counts) if counts else None

    def origins(self, prompt_hash, text_hashes):
        keys, found = set(text_hashes), {}
        for answer in self._answers(prompt_hash):
            if answer["text_hash"] in keys:
                model = answer["model_answered"] or answer["model"] or ""
                counts = (answer[f"{kind}_tokens"] for kind in ("input", "cached", "output"))
                call = self.tables.requests.get(answer["request"], {})
                cost = call.get("cost")
                share = (0.0, 0) if cost is None else (cost / len(call["rows"]), 1)
                one = Origin(model, answer["created"], answer["created"], 1, *counts, *share)
                found[model] = found[model] + one if model in found else one
        return sorted(found.values(), key=lambda origin: -origin.answers)

    def provenance(self, prompt_hash, text_hashes):
        keys, tables = set(text_hashes), self.tables
        for answer in self._answers(prompt_hash):
            if answer["text_hash"] in keys:
                call = tables.requests.get(answer["request"], {})
                cost, rows = call.get("cost"), call.get("rows")
                share = cost / len(rows) if rows and cost is not None else None
                names = [name for name in Provenance._fields if name not in ("params_sent", "cost")]
                own = {name: answer[name] for name in names}
                yield Provenance(**own, params_sent=call.get("params_sent"), cost=share)

    def writer(self):
        writer = self.writing(self.tables, self.shown)
        self._writers.append(writer)
        return writer

    def requests(self, run_id=None):
        tables = self.tables
        with tables.lock:
            calls = [tables.requests[number] for number in sorted(tables.requests)]
        return [dict(call) for call in calls if run_id in (None, call["run_id"])]

    # Leases

    def leases(self, prompt_hash):
        return MemoryLeases(self.tables, prompt_hash)

    def lease_job(self, prompt_hash, job, place, keys):
        tables = self.tables
        with tables.lock:
            others = {
                key
                for name, (_, leased) in tables.jobs.items()
                if name != job
                for key in leased[prompt_hash]
            }
            _, leased = tables.jobs.setdefault(job, (place, defaultdict(set)))
            leased[prompt_hash] |= set(keys) - others
            return others & set(keys)

    def leasing_jobs(self, prompt_hash):
        tables = self.tables
        with tables.lock:
            return {job: place for job, (place, rows) in tables.jobs.items() if rows[prompt_hash]}

    def end_job(self, job):
        tables = self.tables
        with tables.lock:
            tables.jobs.pop(job, None)

    def rate(self, name, now=None):
        return MemoryRate(self.tables, name, now or time.time)

    def budget(self, name, total):
        return MemoryBudget(self.tables, name, total)

    # History

    def save_task(self, task):
        self.tables.tasks.setdefault(task.prompt_hash, named(task) | {"created": now()})

    def tasks(self):
        return [dict(task) for task in reversed(self.tables.tasks.values())]

    def start_run(self, run):
        tables = self.tables
        with tables.lock:
            tables.runs.pop(run.run_id, None)
            tables.runs[run.run_id] = run

    def end_run(self, run_id, **columns):
        for name in columns:
            if name not in RunRecord.__dataclass_fields__:
                raise TypeError(f"A run has no column {name!r}.")
        tables = self.tables
        with tables.lock:
            if run_id in tables.runs:
                tables.runs[run_id] = replace(tables.runs[run_id], **columns)

    def count_part(self, record):
        tables, run_id, part = self.tables, record.counts.run_id, record.part
        with tables.lock:
            mine = tables.parts.setdefault(run_id, {}).setdefault(part, {})
            others = {
                list(attempts.values())[-1].status
                for number, attempts in tables.parts[run_id].items()
                if number != part
            }
            run, attempt, is_new = counted(
                tables.runs.get(run_id), list(mine.values()), others, record
            )
            if is_new:
                for name, one in mine.items():
                    mine[name] = one._replace(status=SUPERSEDED)
                for place in list(tables.failures):
                    if place[0] == run_id and place[1] // POSITIONS == part:
                        del tables.failures[place]
            mine[attempt.attempt] = attempt
            tables.runs[run_id] = run
            return replace(run, status=SUPERSEDED) if attempt.status == SUPERSEDED else run

    def parts(self, run_id):
        tables = self.tables
        with tables.lock:
            parts = tables.parts.get(run_id, {}).values()
            return dict(Counter(list(attempts.values())[-1].status for attempts in parts))

    def runs(self, run_id=None):
        tables = self.tables
        with tables.lock:
            runs = [run for run in tables.runs.values() if run_id in (None, run.run_id)]
        runs = sorted(runs, key=lambda run: run.started)
        return [named(run) for run in reversed(runs)]

    def save_run_rows(self, run_id, blocks, first=0):
        self.tables.rows[run_id].update(enumerate(blocks, first))

    def run_rows(self, run_id):
        blocks = self.tables.rows.get(run_id, {})
        keys = [key for number in sorted(blocks) for key in unpacked_keys(blocks[number])]
        return [key if key.strip("0") else None for key in keys]

    def save_failures(self, run_id, failures):
        tables = self.tables
        with tables.lock:
            for failure in failures:
                columns = named(failure) | {"run_id": run_id}
                tables.failures[run_id, failure.position] = columns

    def failures(self, run_id):
        tables = self.tables
        with tables.lock:
            found = [dict(row) for (run, _), row in tables.failures.items() if run == run_id]
        rows = [row for row in found if row["label"] is not None]
        return sorted(rows, key=lambda row: row["position"])

    def failed(self, prompt_hash):
        found = {}
        for run in reversed(self.runs()):
            if run["prompt_hash"] == prompt_hash:
                kept = self.tables.failures.items()
                rows = [row for (of, _), row in kept if of == run["run_id"]]
                found |= {row["text_hash"]: row["reason"] for row in rows if row["text_hash"]}
        return found

    # Answers by the user's ids

    def _by_id(self, prompt_hash):
        """Return id, answer and whether it was asked, the oldest first."""
        tables = self.tables
        with tables.lock:
            for (row_id, task), (key, own) in list(tables.ids.items()):
                if prompt_hash in (None, task):
                    asked = tables.answers.get((task, key, 0))
                    text = own if asked is None else asked["result"]
                    if text is not None:
                        yield row_id, json.loads(text), asked is not None

    def get(self, row_id, prompt_hash=None):
        name = storable(str(row_id))
        for found, result, asked in reversed(list(self._by_id(prompt_hash))):
            if found == name:
                return {"input_id": name, **result} if asked and type(result) is dict else result
        return None

    def put(self, row_id, result, prompt_hash=None):
        text = storable(json.dumps(result, ensure_ascii=False))
        self._name((storable(str(row_id)), prompt_hash or ""), (None, text))

    def all_ids(self, prompt_hash=None):
        return {row_id for row_id, *_ in self._by_id(prompt_hash)}

    def remember_ids(self, prompt_hash, pairs):
        for row_id, key in pairs:
            place = (storable(row_id), prompt_hash)
            before, own = self.tables.ids.get(place, (None, None))
            self._name(place, (key, own if before in (None, key) else None))

    def _name(self, place, value):
        tables = self.tables
        with tables.lock:
            tables.ids.pop(place, None)
            tables.ids[place] = value


class MemoryWriter:
    """Takes answers from any thread and keeps them in one of its own."""

    def __init__(self, tables, shown):
        self._tables, self._shown = tables, shown
        self._news = threading.Condition()
        self._waiting = deque()
        self._made = self._settled = 0
        self._closing, self._error = False, None
        self._thread = threading.Thread(target=self._run, name="genai-writer", daemon=True)
        self._thread.start()

    def put(self, answers, done=None, requests=()):
        with self._news:
            if self._error is not None:
                raise CacheError(str(self._error))
            if self._closing:
                raise CacheError(f"The writer of the store {self._shown} is closed.")
            self._waiting.append((list(answers), done, list(requests)))
            self._made += 1
            self._news.notify_all()

    def flush(self, timeout=None):
        with self._news:
            made = self._made
            if threading.current_thread() is not self._thread:
                self._news.wait_for(lambda: self._settled >= made, timeout)
            return self._settled >= made and self._error is None

    def close(self, timeout=None):
        with self._news:
            self._closing = True
            self._news.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout)

    def _run(self):
        while True:
            with self._news:
                self._news.wait_for(lambda: self._waiting or self._closing)
                if not self._waiting:
                    return
                put = self._waiting.popleft()
            self.settle(*put)
            with self._news:
                self._settled += 1
                self._news.notify_all()

    def settle(self, answers, done, requests):
        """Keep what was put, then call back."""
        if self._error is None:
            try:
                self.keep(answers, requests)
            except (TypeError, ValueError) as error:
                self._error = CacheError(f"The store {self._shown} could not be used: {error}.")
        call(done, self._error)

    def keep(self, answers, requests):
        """Keep the answers and calls of one put, or nothing of them."""
        made = now()
        calls = dict.fromkeys((*requests, *(one.request for one in answers if one.request)))
        answers = [checked(answer._asdict()) | {"created": made} for answer in answers]
        tables = self._tables
        with tables.lock:
            for record in calls:
                columns = named(record) | {"created": made, "rows": list(record.rows)}
                number = calls[record] = columns.pop("number") or next(tables.numbers)
                tables.requests[number] = {"id": number, **columns}
            for answer in answers:
                place = (answer["prompt_hash"], answer["text_hash"], answer["repeat"])
                tables.answers[place] = answer | {"request": calls.get(answer["request"])}


def checked(answer):
    """Refuse what no database holds."""
    for name, value in answer.items():
        if name != "request" and not isinstance(value, str | int | None):
            raise TypeError(f"{name} is a {type(value).__name__}")
        if isinstance(value, int) and value >= 2**63:
            raise ValueError(f"{name} is too large")
    return {name: storable(value) for name, value in answer.items()}


def call(done, error):
    if done is not None:
        try:
            done(error)
        except BaseException:
            logging.getLogger("pandas_genai").exception("A callback of the writer failed.")


class MemoryLeases:
    """Rows under way in one run; a block of them is leased until its last row has ended."""

    def __init__(self, tables, prompt_hash):
        self._tables, self._task = tables, prompt_hash
        self._ended = set()

    def _others(self):
        blocks = self._tables.blocks
        return {
            key
            for owner, task, keys, left in blocks
            if owner is not self and task == self._task and left
            for key in keys
        }

    def acquire(self, keys):
        with self._tables.lock:
            self.flush()
            others = self._others().intersection(keys)
            ours = set(keys) - others
            self._tables.blocks.append((self, self._task, frozenset(ours), set(ours)))
            return Granted(ours, others)

    def free(self, keys):
        with self._tables.lock:
            return not self._others().issuperset(keys)

    def end(self, keys):
        with self._tables.lock:
            self._ended |= set(keys)

    def flush(self):
        tables = self._tables
        with tables.lock:
            for owner, _, _, left in tables.blocks:
                if owner is self:
                    left.difference_update(self._ended)
            self._ended = set()
            tables.blocks[:] = [block for block in tables.blocks if block[3]]

    def close(self):
        tables = self._tables
        with tables.lock:
            tables.blocks[:] = [block for block in tables.blocks if block[0] is not self]


class MemoryRate:
    """What all runs that use a name may send a minute together."""

    def __init__(self, tables, name, now):
        self._tables, self._name, self._now = tables, name, now

    def take(self, flows):
        taken = {}
        with self._tables.lock:
            time, rates = self._now(), self._tables.rates
            for kind, flow in flows.items():
                level, at = rates.get((self._name, kind), (flow.most, time))
                level = refilled(level, time - at, flow)
                taken[kind] = max(0.0, min(level, flow.wanted))
                rates[self._name, kind] = level - taken[kind], time
        return taken

    def give(self, amounts):
        with self._tables.lock:
            for kind, amount in amounts.items():
                level, at = self._tables.rates[self._name, kind]
                self._tables.rates[self._name, kind] = level + amount, at

    def close(self):
        pass


class MemoryBudget:
    """The budget that all runs that use a name spend together."""

    def __init__(self, tables, name, total):
        self._tables, self._name, self._total = tables, name, total

    def take(self, least, most):
        tables = self._tables
        with tables.lock:
            blocks = tables.budgets[self._name]
            left = self._total - tables.spent.get(self._name, 0.0) - sum(blocks.values())
            amount = granted(left, least, most)
            if amount:
                blocks[self] = blocks.get(self, 0.0) + amount
            return BudgetBlock(amount, left - amount, len(blocks.keys() - {self}))

    def give(self, amount):
        with self._tables.lock:
            blocks = self._tables.budgets[self._name]
            if self in blocks:
                blocks[self] = max(0.0, blocks[self] - amount)

    def end(self, unspent):
        with self._tables.lock:
            self.give(unspent)
            self.close()

    def close(self):
        tables = self._tables
        with tables.lock:
            amount = tables.budgets[self._name].pop(self, 0.0)
            tables.spent[self._name] = tables.spent.get(self._name, 0.0) + amount
