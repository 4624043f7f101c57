"""Tests of the Python face; a package so that they can share golden.py."""
