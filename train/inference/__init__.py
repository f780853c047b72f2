"""Trained models at work: predictions, refinements, pictures, ONNX files."""
