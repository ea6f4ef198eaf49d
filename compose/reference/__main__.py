"""Write the reference pages."""

import sys
from pathlib import Path

from plimsoll.compose.reference.pages import pages

folder = Path(sys.argv[1])
for name, text in pages().items():
    (folder / name).write_text(text, encoding="utf-8")
