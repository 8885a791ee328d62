"""Pretrained weights: where they are published, how they come onto this machine, and how they go into a backbone."""
