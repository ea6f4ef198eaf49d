"""Step times and memory of any model on any GPU, from operators that were measured or from a roofline."""
