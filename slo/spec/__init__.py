"""The objectives file: what it may say, where links lead, what nodes cost."""
