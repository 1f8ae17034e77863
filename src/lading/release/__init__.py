"""A release, decided: every name, key and change a run will use, before anything runs.

This room computes. It never opens a file, a store or a connection.
"""
