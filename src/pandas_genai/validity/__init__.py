"""After the labels: sampling, coding by hand, agreement, and what follows from hand codes."""
