"""What a replica is and does: memory, throughput, signals, prices."""
