"""What chance does to comparisons of two models, and what a real change does."""
