"""The closed loop on the error budget: hours as they were counted, and what the loop remembers of them."""
