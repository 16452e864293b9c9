"""The tests; their folders mirror the code's."""

import os
import signal

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as in `training`: pytest may load LightGBM before it
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts background jobs deaf to Ctrl-C, and test processes would inherit this.
    signal.signal(signal.SIGINT, signal.default_int_handler)
