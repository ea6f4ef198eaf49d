"""Files that hold a secret: who else may read them."""

import os
from pathlib import Path


def exposed(path: Path) -> str:
    """Return the problem and its fix where other users may read a file, else an empty text. Raises OSError.

    Only this process' user may read it; another owner may let its group read it, which is how Kubernetes mounts a secret for a process
    that isn't root.
    """
    status = path.stat()
    others = 0o077 if status.st_uid == os.geteuid() else 0o007
    if not status.st_mode & others:
        return ""
    return f"{path} can be read by other users. Run `chmod 600 {path}` (Kubernetes: `defaultMode: 0440`)."
