"""After the labels: sampling, coding by hand, and what follows from hand codes."""
