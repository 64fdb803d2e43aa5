"""Speech to motion: the networks of the paper, audio, weight bundles and the generator that joins them."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import sys

if "numpy" not in sys.modules:
    # Frames are decoded one by one in numpy (``stepping``), whose products are too small to be shared out.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("VECLIB_MAXIMUM_THREADS", "1")
