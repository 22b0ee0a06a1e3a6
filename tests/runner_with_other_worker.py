"""`python -m runner`, but with the worker module that TEST_WORKER names."""

from __future__ import annotations

import os
import sys

from runner import __main__ as program
from runner import supervisor

if __name__ == "__main__":
    supervisor.Supervisor.__init__.__kwdefaults__ = None
    defaults = supervisor.Supervisor.__init__.__defaults__
    assert defaults is not None
    supervisor.Supervisor.__init__.__defaults__ = (*defaults[:-1], (sys.executable, "-m", os.environ["TEST_WORKER"]))
    sys.exit(program.main())
