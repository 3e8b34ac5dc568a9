"""Find where a vision model fails, and make what was found last."""

__version__ = "0.1.0"
