"""Tests that need another framework; scripts/lib/hosts.sh runs each in the environments for it."""
