"""People's data and a panel: tables and files come in as one, forecasts of it go out alike."""
