"""A metrics page on a loopback port, whose text a test sets."""

from contextlib import AbstractContextManager

from http_server import serving_text


class Page:
    """A metrics page whose text the test sets."""

    def __init__(self) -> None:
        self.text = ""

    def served(self) -> AbstractContextManager[str]:
        """Serve the text of the moment for the length of a block; gives HOST:PORT."""
        return serving_text(lambda _path, _body: self.text)
