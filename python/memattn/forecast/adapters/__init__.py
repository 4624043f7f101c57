"""memattn with the interfaces of other forecasting libraries; each module is imported on use."""
