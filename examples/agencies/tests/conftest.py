"""Puts the project's folder on the import path, as Lading does."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
