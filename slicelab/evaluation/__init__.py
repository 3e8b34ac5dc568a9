"""Predictions and labels to outcomes, metrics and intervals."""
