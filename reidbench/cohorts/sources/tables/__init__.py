"""Tables as people write them: cells, dates, words for what is missing, and what was not understood."""
