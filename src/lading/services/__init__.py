"""One file for each thing outside the stores that a release asks or tells.

Command-line tools are called through ``shell`` only. This room never touches a store.
"""
