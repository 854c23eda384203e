"""What a person sees: progress, and where the notebook lives. Nothing below imports it."""
