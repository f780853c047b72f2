"""The commands of `curate train`."""
