"""Tests of what others get; a package so that they can share commands.py."""
