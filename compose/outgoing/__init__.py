"""What `plimsoll serve` sends, and where to."""
