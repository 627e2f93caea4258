"""What goes, decided without a model: scores, budgets, plans, and how far two of them agree."""
