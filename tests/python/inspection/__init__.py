"""Tests of memattn.inspection; a package so that they can share layers.py and golden.py."""
