"""Runs: planned attacks, the plan of all steps, their execution, and the record made of their results."""
