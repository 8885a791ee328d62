"""Metrics from integer counts, and from whole sets of scores where counts do not do; alike for any number of ranks."""
