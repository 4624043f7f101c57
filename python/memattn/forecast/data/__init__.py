"""Tables and files as panels, and forecasts as tables of the same library."""
