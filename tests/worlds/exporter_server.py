"""A self-signed certificate for 127.0.0.1."""

import shutil
import subprocess
from pathlib import Path

import pytest

from plimsoll.exporters.server import Tls


def make_certificate(folder: Path) -> Tls:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed; Debian has it in the package openssl")
    made = Tls(folder / "cert.pem", folder / "key.pem")
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
    name = ("-subj", "/CN=plimsoll test", "-addext", "subjectAltName=IP:127.0.0.1")
    use = ("-addext", "keyUsage=critical,digitalSignature,keyCertSign")  # Python requires it from 3.13 on
    command = ["openssl", "req", "-x509", *curve, *name, *use, "-out", str(made.certificate), "-keyout", str(made.key)]
    subprocess.run(command, check=True, capture_output=True)
    return made
