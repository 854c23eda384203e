"""The pool: threads, pacing, splitting a bad chunk, stopping. Knows no vendor and no UI."""
