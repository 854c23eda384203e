"""What follows once there are labels: they are checked by hand, and used."""

from __future__ import annotations

import pandas as pd

__all__ = ["Checking"]


class Checking:
    """The methods of ``labels.genai`` that come after the labels."""

    _data: pd.DataFrame
