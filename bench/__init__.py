"""The benchmark: what this program costs beside the tools people use today, measured side by side in one run."""
