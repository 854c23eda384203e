"""Anthropic's API: requests, replies, batches and the dialect of JSON schema."""
