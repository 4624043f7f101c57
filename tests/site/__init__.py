"""Tests of the documentation site, which scripts/docs has built."""
