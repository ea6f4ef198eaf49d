"""A weekly review in one paragraph, and in few figures. Pure functions of the review."""
