"""What is good and total: evidence per indicator, increments from samples, bucket bounds, splits by label."""
