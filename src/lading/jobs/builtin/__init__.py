"""The jobs that Lading ships: each is real, and an example to copy.

A module here is a job of its name; those that begin with ``_`` are parts of one.
"""
