"""Supplements of records: what they contain, their files, and their figures computed again."""
