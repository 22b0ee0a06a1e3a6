"""Who draws: the contract between the runner and what makes pictures, and its implementations."""
