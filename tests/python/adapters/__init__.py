"""Tests of the adapters; scripts/lib/adapters.sh runs each in the environment of its library."""
