"""Decisions as state changes: old value in, new value out."""
