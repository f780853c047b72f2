"""Scores, image by image, of runs and of what they are held against."""
