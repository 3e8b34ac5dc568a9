"""Vectors and outcomes to candidate slices."""
