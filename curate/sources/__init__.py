"""Readers of public datasets; each yields the same candidate table."""
