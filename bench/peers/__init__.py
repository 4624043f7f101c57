"""The contestants' processes, and how each runtime's users would write the layer."""
