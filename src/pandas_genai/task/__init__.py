"""What is asked, of which rows, and what counts as an answer. Pure: no I/O, no vendor."""
