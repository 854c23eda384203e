"""``ddf.genai``: the question of ``df.genai.extract``, asked of a Dask DataFrame.

``import pandas_genai.dask`` gives every Dask DataFrame and Series the accessor ``genai``. It needs
``pip install 'pandas-genai[dask]'``.
"""

from pandas_genai.errors import UsageError

try:
    from dask.dataframe.extensions import register_dataframe_accessor, register_series_accessor
except ImportError as error:
    raise UsageError(
        "pandas_genai.dask needs Dask: run pip install 'pandas-genai[dask]'."
    ) from error

from pandas_genai.dask.accessor import DaskAccessor

__all__ = ["DaskAccessor"]

for register in (register_dataframe_accessor, register_series_accessor):
    register("genai")(DaskAccessor)  # type: ignore[no-untyped-call]  # Dask ships no type for it
