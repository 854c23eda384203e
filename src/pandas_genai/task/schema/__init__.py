"""Schemas: every form a user may write, what the vendors are sent, and the check of an answer."""

from pandas_genai.task.schema.schema import Field, Schema, compile_schema

__all__ = ["Field", "Schema", "compile_schema"]
