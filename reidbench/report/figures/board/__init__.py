"""A board: its records, its rows, and which of them are on the front of risk and utility."""
