"""Two runs on the same pairs: which records may be compared, and the change of each figure with its interval."""
