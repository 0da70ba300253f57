"""The package in ``example`` has tests of its own, which run where it is installed, not here."""

collect_ignore = ["example"]
