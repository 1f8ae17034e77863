"""The team's own jobs: each module here that does not begin with ``_`` is one."""
