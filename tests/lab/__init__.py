"""The lab: what tests that drive whole programs share. Scripts put tests/ on their path and import it."""
