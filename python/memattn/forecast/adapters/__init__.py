"""memattn in the words of other forecasting libraries; each module is imported when it is used."""
