"""How a model is served over HTTP. Builds on `models` and never imports `training`."""
