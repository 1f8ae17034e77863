"""Lading ships datasets: a release as doit tasks, switched once it is verified everywhere.

The rooms and the arrows between them stand in docs/architecture.md.
This module holds the version and never imports a room.
"""

__version__ = "0.1.0"
