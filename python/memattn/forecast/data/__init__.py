"""Reads tables and files as panels, and returns forecasts as tables of the same library."""
