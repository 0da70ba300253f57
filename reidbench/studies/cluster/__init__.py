"""Sweeps on a Ray cluster: connecting, what its nodes carry out, and the sweep that asks them to."""
