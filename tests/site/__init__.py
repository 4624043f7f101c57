"""Tests of the documentation site that scripts/docs built."""
