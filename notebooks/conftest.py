"""Under nbval: skip the cells that ask the local model where its weights are not to be found."""

from __future__ import annotations

import pytest

from pandas_genai import LocalModelError, local


def pytest_collection_modifyitems(items):
    """Mark the cells tagged ``local-model`` as skipped, with the reason, if there is no model."""
    asking = [
        item
        for item in items
        if "local-model" in getattr(item, "cell", {}).get("metadata", {}).get("tags", [])
    ]
    if not asking:
        return
    try:
        local.weights()
    except LocalModelError as error:
        for item in asking:
            item.add_marker(pytest.mark.skip(reason=f"the local model is not available: {error}"))
