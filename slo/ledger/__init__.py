"""The truth: good and total per objective and five-minute slot."""
