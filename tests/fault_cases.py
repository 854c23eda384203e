"""What the tables of faults share: rows, how they are asked, and what holds of the answers."""

import hashlib
import zlib

import pandas as pd

import pandas_genai
from pandas_genai import GenaiError
from pandas_genai.store.registry import using

ROWS, CHUNK = 60, 5
WHERE = ["live", "batch", "dask"]
BACKENDS = ["openai", "anthropic"]


def right(text):
    """The one right answer to a text."""
    return zlib.crc32(text.encode())


def rule(text):
    """What the provider answers."""
    return {"sum": right(text)}


def rows_of(seed, rows=ROWS):
    """Rows of which a third have the text of another row."""
    texts = [f"row {number} of {seed}" for number in range(rows * 2 // 3)]
    texts += texts[: rows - len(texts)]
    return pd.DataFrame({"text": texts}).sample(frac=1, random_state=seed)


def ask(where, frame, given):
    """Return the answers, or the error with which the run ended.

    ``cluster`` is Dask on the client that is there; ``dask`` is Dask in threads.
    """
    given = dict(given)
    task = pandas_genai.Task("Sum?", {"sum": int}, text="text", backend=given.pop("backend"))
    try:
        if where == "live":
            return frame.genai.extract(task, progress=False, max_workers=4, **given)
        if where == "batch":
            return _ask_in_batch(task, frame, given)
        return _ask_on_dask(task, frame, given, in_threads=where == "dask")
    except GenaiError as error:
        return error


def _ask_in_batch(task, frame, given):
    was_there = "job" in pandas_genai.jobs().index
    job = frame.genai.batch_submit(task, name="job", **given)
    if was_there:
        job.resubmit_failed(cache=given["cache"])
    return frame.genai.batch_collect("job", wait=True, poll_s=0.01, cache=given["cache"])


def _ask_on_dask(task, frame, given, *, in_threads):
    # Here, as a process that starts for one live run would spend most of its time with it.
    import dask
    import dask.dataframe as dd

    import pandas_genai.dask  # noqa: F401 - gives ddf.genai

    ddf = dd.from_pandas(frame, npartitions=3, sort=False)
    labels = ddf.genai.extract(task, progress=False, max_workers=2, **given)
    if not in_threads:
        return labels.compute()
    with dask.config.set(scheduler="threads", num_workers=2):
        return labels.compute()


def is_whole(found):
    """Whether a run ended with every row answered."""
    return isinstance(found, pd.DataFrame) and bool(found["sum"].notna().all())


def check(found, frame, cache):
    """Each row is right and its answer in the store, or it has failed with its reason."""
    assert found.index.tolist() == frame.index.tolist()
    answered = found["sum"].notna()
    assert (found["sum"][answered] == frame["text"][answered].map(right)).all()
    errors = found.genai.errors
    assert sorted(errors.index) == sorted(found.index[~answered])
    assert errors["reason"].astype(bool).all()
    assert kept(cache, frame) >= set(frame["text"][answered])


def kept(cache, frame):
    """Return which texts have an answer in the store."""
    texts = {hashlib.sha256(text.encode()).hexdigest()[:32]: text for text in frame["text"]}
    with using(cache) as store:
        keys = set()
        for task in store.tasks():
            keys |= store.present(task["prompt_hash"], list(texts))
    return {texts[key] for key in keys}
