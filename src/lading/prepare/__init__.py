"""Files in, reproducible archives and a manifest out.

This room reads the build and writes the work folder. It never changes a file of the build
and never touches a destination.
"""
