"""Gestures to values and back, in the notebook."""
