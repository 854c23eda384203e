"""Ask a language model the same question of every row of a DataFrame.

Importing the package gives every DataFrame ``df.genai`` and every Series ``series.genai``. It
reads no setting, writes no file and imports neither vendor's SDK: all that it does not need at
once is imported when it is first used (the public names are listed in ``__init__.pyi``).
"""

import importlib
import importlib.util
import sys
from types import ModuleType
from typing import Any

import lazy_loader
import pandas as pd

_public, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    if name in __all__:
        return _public(name)
    if name == "__version__":
        from importlib.metadata import version

        return version("pandas-genai")
    if not name.startswith("_") and importlib.util.find_spec(f"{__name__}.{name}"):
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class _Package(ModuleType):
    """Keeps ``pandas_genai.runs`` the function, also when the package of that name is imported."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in __all__ and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


class _Accessor:
    """An accessor, imported when it is first used; it stands in the place of ``pandas``' own."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, data: Any, owner: type) -> Any:
        from pandas_genai import accessor

        kind = getattr(accessor, self._name)
        return kind if data is None else kind(data)


sys.modules[__name__].__class__ = _Package
for _owner, _name, _register in (
    (pd.DataFrame, "FrameAccessor", pd.api.extensions.register_dataframe_accessor),
    (pd.Series, "SeriesAccessor", pd.api.extensions.register_series_accessor),
):
    _accessor = _Accessor(_name)
    _register("genai")(_accessor)  # which lists it, and warns if there is one
    _owner.genai = _accessor
