"""What a version holds and how two differ: figures, words, contact sheets, the card."""
