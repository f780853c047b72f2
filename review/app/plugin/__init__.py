"""What FiftyOne loads as a plugin; the operators themselves are in review/app/operators.py."""

from review.app.operators import register

__all__ = ["register"]
