"""Reports as pictures: curves, sheets, attention maps."""
