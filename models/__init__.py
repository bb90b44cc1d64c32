"""What a model is: its features, its networks, its intervals, its explanations and its form on disk.

Stands alone: no web framework, no pandas, no training code. `training` makes models, `service` serves
them, and neither imports the other.
"""

__version__ = "0.1.0"
