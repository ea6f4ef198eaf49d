"""What a pool costs its users, and what it would cost if its nodes were bought."""
