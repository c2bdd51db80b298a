"""Holdfast with the lowest versions of all that it asks for."""
