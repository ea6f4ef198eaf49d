"""The objectives file: its fields, its indicators, what nodes cost."""
