"""Suites without a database: run, judge, compare, save."""
