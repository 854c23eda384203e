"""The embedded local model: its weights, and its server on loopback.

The model is Qwen2.5-Coder-0.5B-Instruct (Apache-2.0), quantised to four bits, 491 MB. It shows
that everything works without a key; its labels are not good enough for research.
"""

from pandas_genai.local.server import CONTEXT, serve, start, stop
from pandas_genai.local.weights import Download, weights
from pandas_genai.settings import LOCAL_MODEL as MODEL

__all__ = ["CONTEXT", "MODEL", "Download", "serve", "start", "stop", "weights"]
