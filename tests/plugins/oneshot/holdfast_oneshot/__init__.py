"""A runtime for Holdfast: one model call a turn."""
