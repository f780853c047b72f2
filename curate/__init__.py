"""curate: what a dataset is and how one is chosen. Nothing here imports torch or FiftyOne."""

__version__ = "0.1.0"
