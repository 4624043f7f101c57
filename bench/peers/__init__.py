"""The contestants' processes, with the layer as a user of each runtime would write it."""
