"""Commands that plan capacity."""
