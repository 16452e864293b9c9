"""The tests; the folders mirror those of the code."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as in `training`: pytest may load LightGBM before it
