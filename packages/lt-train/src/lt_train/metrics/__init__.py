"""Metrics from integer counts, summed exactly over batches and ranks."""
