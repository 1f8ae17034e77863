"""What happened: runs, steps, progress, log lines, receipts, files; and what is asked for.

SQLite beside the build, or PostgreSQL by URL. A release never waits for this room and never
fails because of it; what it says is what was observed, at each event.
"""
