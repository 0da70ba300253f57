"""`python -m reidbench`."""

from reidbench.cli import main

main()
