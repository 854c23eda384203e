"""The vendors' APIs: one object for each of them, and what they share."""
