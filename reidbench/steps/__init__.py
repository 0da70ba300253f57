"""The step cache, and one file per kind of cached step."""
