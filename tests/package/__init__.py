"""Tests of the built and installed packages; a package, so that they can share commands.py."""
