"""The original toolkit's names over the live and the batch path: ``extract_df``, two classes."""

from pandas_genai.legacy.anthropic import AnthropicBatchExtractor
from pandas_genai.legacy.draft import DraftedPrompt, draft_prompt
from pandas_genai.legacy.iterator import DataFrameIterator
from pandas_genai.legacy.live import extract_df
from pandas_genai.legacy.openai import OpenAIBatchExtractor

__all__ = [
    "AnthropicBatchExtractor",
    "DataFrameIterator",
    "DraftedPrompt",
    "OpenAIBatchExtractor",
    "draft_prompt",
    "extract_df",
]
