"""What a model sees: images, targets, batches of them, and which images teach or judge."""
