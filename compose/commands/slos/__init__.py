"""Commands on objectives files, and what is made of them."""
