"""Pictures, sounds and clips: how they are read from files, written to files and shown in a page."""
