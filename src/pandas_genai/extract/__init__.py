"""The live path, wired: task -> cache -> pool -> cache -> frame."""

from pandas_genai.extract.estimate import Estimation
from pandas_genai.extract.manner import CHUNK_SIZE, MAX_WORKERS, Manner
from pandas_genai.extract.preview import Preview, preview_requests
from pandas_genai.extract.run import Extraction

__all__ = ["CHUNK_SIZE", "MAX_WORKERS", "Estimation", "Extraction", "Manner"]
__all__ += ["Preview", "preview_requests"]
