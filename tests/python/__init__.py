"""Tests of the Python package; itself a package so that tests can share golden.py."""
