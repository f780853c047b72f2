"""train: models on a dataset version, scored image by image."""
