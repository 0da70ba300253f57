"""Pixels of a cohort: decoding, and the store that keeps them."""
