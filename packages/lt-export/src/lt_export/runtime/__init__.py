"""Exported models on machines without PyTorch."""
