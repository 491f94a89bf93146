"""Imported first by the scripts of this folder: goes on in the repository's .venv if this Python lacks the packages."""

import importlib.util
import os
import sys
from pathlib import Path

VENV = Path(__file__).resolve().parent.parent / ".venv"

if not importlib.util.find_spec("h5py"):
    if Path(sys.prefix) == VENV or not (VENV / "bin" / "python").exists():
        sys.exit(f"{Path(sys.argv[0]).name}: no numpy and h5py here: run scripts/setup first")
    os.execv(VENV / "bin" / "python", [str(VENV / "bin" / "python"), *sys.argv])
