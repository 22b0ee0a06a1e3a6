"""The options that all trainings have."""

from __future__ import annotations

import argparse
from pathlib import Path


def run_parser(description: str | None, minutes: float) -> argparse.ArgumentParser:
    """A parser for the folder, the time (by default so many ``minutes``) and the cores of a run."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", type=Path, required=True, help="folder of the training run")
    parser.add_argument("--minutes", type=float, default=minutes, help="minutes of training")
    parser.add_argument("--threads", type=int, default=1, help="cores to use")
    return parser
