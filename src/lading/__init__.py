"""Lading ships datasets: a release as doit tasks, switched once it is verified everywhere.

The rooms and the arrows between them stand in docs/architecture.md.
This module holds the version and never imports a room.
"""

import logging

# a command that keeps no log prints none either
logging.getLogger(__name__).addHandler(logging.NullHandler())

__version__ = "0.1.0"
