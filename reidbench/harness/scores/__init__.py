"""Scores of the test images before they are judged: of single attackers, of several, and revised by neighbours."""
