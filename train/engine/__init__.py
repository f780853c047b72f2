"""How a model learns: steps, losses, rates, precision, processes, and going on after a kill."""
