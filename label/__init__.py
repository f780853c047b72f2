"""label: hand labels in and out."""
