"""Tests of the adapters, each in the environment of its library: scripts/lib/adapters.sh."""
