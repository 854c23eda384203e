"""The live path, wired: task -> cache -> pool -> cache -> frame."""

from pandas_genai.extract.estimate import Estimation
from pandas_genai.extract.preview import Preview, preview_requests
from pandas_genai.extract.run import Extraction

__all__ = ["Estimation", "Extraction", "Preview", "preview_requests"]
