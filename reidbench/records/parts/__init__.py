"""The parts of a record: what all have in common, and those of single analyses."""
