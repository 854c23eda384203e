"""Any JSON in any place of a right answer: drawn as text, because not all of it can be parsed."""

from __future__ import annotations

import json

from hypothesis import strategies as st

PLACEHOLDER = "placeholder-7f3a"

_ODD = [
    *("null", "true", "false", "0", "-1", "1.5", "100", '"100"', '""', "[]", "{}", "[null]"),
    *("NaN", "Infinity", "-Infinity", "1e400", "1e18", "1" + "0" * 400, "9" * 5_000),
    *('"\\ud800"', '"\\u0000"', '"\\u001b[2J"', '"../../../x"', '"' + "x" * 100_000 + '"'),
    *('{"error": {"message": "no"}}', '{"a": 1, "a": 2}', "[" * 2_000, '"half', "{,}"),
]
_SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
_FLAT = _SCALARS | st.lists(_SCALARS, max_size=4)
_VALUES = _FLAT | st.lists(_FLAT, max_size=3) | st.dictionaries(st.text(max_size=9), _FLAT)


def _nested(depth, opening):
    closing = {"[": "]", '{"a":': "}"}[opening]
    return opening * depth + "1" + closing * depth


JSON_TEXTS = st.one_of(
    st.sampled_from(_ODD),
    _VALUES.map(json.dumps),
    st.builds(_nested, st.integers(1, 1_000), st.sampled_from(["[", '{"a":'])),
)
"""JSON as text, some of it broken."""


def paths_in(tree, above=()):
    """Every place in a tree, the root first."""
    yield above
    if isinstance(tree, (dict, list)):
        for name, child in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from paths_in(child, (*above, name))


def put(data, number, text):
    """Return a JSON text with another in one of its places, chosen by a number; None drops it."""
    tree = json.loads(data)
    paths = list(paths_in(tree))
    path = paths[number % len(paths)]
    if not path:
        return (text if text is not None else "").encode()
    place = tree
    for step in path[:-1]:
        place = place[step]
    if text is None:
        del place[path[-1]]
        return json.dumps(tree).encode()
    place[path[-1]] = PLACEHOLDER
    return json.dumps(tree).replace(f'"{PLACEHOLDER}"', text).encode()
