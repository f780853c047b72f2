"""Which images a dataset is made of: from what the labels say to groups, splits and a version on disk."""
