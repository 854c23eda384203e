"""The live path, wired: task -> cache -> pool -> cache -> frame."""

from pandas_genai.extract.manner import CHUNK_SIZE, MAX_WORKERS, Cache, Manner
from pandas_genai.extract.original import extract_df
from pandas_genai.extract.preview import Preview, preview_requests
from pandas_genai.extract.run import ATTR, Extraction

__all__ = ["ATTR", "CHUNK_SIZE", "MAX_WORKERS", "Cache", "Extraction", "Manner"]
__all__ += ["Preview", "extract_df", "preview_requests"]
