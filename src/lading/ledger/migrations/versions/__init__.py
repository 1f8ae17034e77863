"""One file a step, oldest first; a file that was released never changes."""
