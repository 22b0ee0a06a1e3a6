"""`python -m runner`, but with the worker module that TEST_WORKER names."""

from __future__ import annotations

import os
import sys

from runner.__main__ import main

if __name__ == "__main__":
    sys.exit(main([sys.executable, "-m", os.environ["TEST_WORKER"]]))
