"""What a model is: its features, its networks, its intervals, its explanation and its form on disk.

Stands alone: no web framework, no pandas, no learning. `training` makes models and `service` serves
them; neither knows the other.
"""

__version__ = "0.1.0"
