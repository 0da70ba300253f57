"""Threat models, the plan of a run, the step cache, records. Knows nothing of how a page looks."""
