"""The 2022 study on a copy of its data: its figures, its experiments, its tables."""
