"""Defenses: what an author writes, and how a release is made from it."""
