"""Reads tables and files as panels, and writes forecasts as tables of the same library."""
