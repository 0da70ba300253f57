"""Commands that ask more than one run answers: audit, overlap, explain, sweep, and the 2022 study."""
