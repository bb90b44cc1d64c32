"""How a model comes to be: data, losses, backpropagation, optimisers, recipes, evaluation. Offline."""
