"""The report of a forecaster, one HTML page, and its figures."""
