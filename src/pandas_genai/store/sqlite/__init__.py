"""The answer store that is one SQLite file."""
