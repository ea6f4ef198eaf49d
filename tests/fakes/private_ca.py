"""A certificate authority of the test's own, by openssl: a server's certificate for 127.0.0.1, and a client's."""

import shutil
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Pem:
    """PEM files of a certificate and its key."""

    certificate: Path
    key: Path


class PrivateCa:
    """A CA that no system knows."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("openssl") is None:
            pytest.skip("openssl is not installed; Debian has it in the package openssl")
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._ca = self._made("ca", None)
        self.file = self._ca.certificate
        self.client = self._made("client", self._ca)

    def server(self, client_certificate: bool = False) -> ssl.SSLContext:
        """A server's context, which may ask for a client's certificate."""
        pem = self._made("server", self._ca)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(self.file))
        context.load_cert_chain(pem.certificate, pem.key)
        context.verify_mode = ssl.CERT_REQUIRED if client_certificate else ssl.CERT_NONE
        return context

    def _made(self, name: str, issuer: Pem | None) -> Pem:
        pem = Pem(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        command += ["-subj", f"/CN={name}", "-days", "2", "-out", str(pem.certificate), "-keyout", str(pem.key)]
        if issuer is None:
            command += ["-addext", "keyUsage=critical,keyCertSign,cRLSign"]  # Python requires it from 3.13 on
        else:
            command += ["-CA", str(issuer.certificate), "-CAkey", str(issuer.key)]
            command += ["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"]
        subprocess.run(command, check=True, capture_output=True)
        return pem
