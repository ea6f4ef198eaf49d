"""The reference pages of docs/, written from the code: `python -m plimsoll.compose.reference DIR`."""
