"""The gate beside pandas reading the same prediction file."""
