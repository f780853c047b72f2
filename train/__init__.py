"""train: models on a dataset version, scored image by image."""

import os

# Read when torch is first imported. Torch's threads wait for each other hundreds of times a step. By default they spin,
# which on cores that other processes keep busy costs as much again as the work itself; told to sleep, they do not.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
