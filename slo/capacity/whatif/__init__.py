"""What another GPU, workload or traffic level would mean."""
