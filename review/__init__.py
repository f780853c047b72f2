"""review: every failure found, named, and one click from being fixed. All of FiftyOne lives in review.app."""
