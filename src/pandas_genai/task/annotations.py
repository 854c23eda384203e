"""Names for what arguments may be, as a signature's reader sees them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, TypeAlias

import pandas as pd

__all__ = ["Answer", "Column", "Json", "Series", "Shorthand", "Template"]

Shorthand: TypeAlias = Mapping[str, Any] | Sequence[Any]
"""A schema as a dict of fields, as a list of labels, or as a JSON schema."""

Column: TypeAlias = Hashable
"""The label of a column."""

Template: TypeAlias = str
"""A text with columns in braces, such as ``"{title}: {body}"``."""

Series: TypeAlias = "pd.Series[Any]"
"""A pandas Series of any values."""

Answer: TypeAlias = Any
"""The answer of a solved case: a dict of the fields, a label, or a list for several records."""

Json: TypeAlias = Any
"""A value as JSON has it."""
