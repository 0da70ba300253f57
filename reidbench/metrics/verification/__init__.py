"""Verification: how well the scores of image pairs tell one patient from two, with intervals."""
