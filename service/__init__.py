"""How a model answers: the HTTP service.

Stands on `models` and knows nothing of `training`.
"""
