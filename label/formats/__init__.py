"""One module per labelling tool; each says whether a path is its own and reads it into masks."""
