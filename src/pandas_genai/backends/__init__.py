"""Wire formats, thin SDK clients beside them, errors classed once."""
