"""Tests that need a host; scripts/lib/hosts.sh runs each in the environments it belongs to."""
