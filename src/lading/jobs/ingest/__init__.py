"""From silver to an API: records are read, sent in batches, and told apart by what it answers.

What an answer means is decided without I/O; this room never takes a status code for a success.
"""
