"""The original toolkit's two classes: another door to the same jobs."""

from pandas_genai.batch.extractors.for_anthropic import AnthropicBatchExtractor
from pandas_genai.batch.extractors.for_openai import OpenAIBatchExtractor

__all__ = ["AnthropicBatchExtractor", "OpenAIBatchExtractor"]
