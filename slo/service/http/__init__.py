"""What every route shares: problems, parameters, ETags."""
