"""Figures beside the attacks: linkability, singling out, inference."""
