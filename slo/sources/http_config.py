"""Credentials and TLS of a source, in the format of Prometheus' HTTP client configuration (`authorization`, `basic_auth`, `tls_config`,
`http_headers`).

https://prometheus.io/docs/prometheus/latest/configuration/configuration/ describes the fields. Files are named relative to the
configuration's folder and read for each request, so a rotated token or certificate is used at once. No error quotes a value.
"""

import base64
import re
import ssl
from pathlib import Path

import msgspec

from plimsoll.slo import strict_yaml
from plimsoll.slo.private_file import exposed
from plimsoll.slo.units import printable

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, token
_VALUE = re.compile(r"[\t -~]*")
_RESERVED = {"authorization", "host", "content-length", "content-type", "content-encoding", "transfer-encoding"}
_RESERVED |= {"connection", "accept-encoding"}


class HttpConfigError(Exception):
    """A configuration, or a file that it names, can't be used; the message names file, field and fix, and no secret."""


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A section of the file. A misspelled field is an error, not a request without credentials."""


class Authorization(_Section, frozen=True):
    """`Authorization: TYPE CREDENTIALS`."""

    type: str = "Bearer"
    credentials: str | None = None
    credentials_file: str | None = None


class BasicAuth(_Section, frozen=True):
    """Basic authentication."""

    username: str
    password: str | None = None
    password_file: str | None = None


class TlsConfig(_Section, frozen=True):
    """Trusted CA certificates, and the client certificate with its key, as PEM files."""

    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    insecure_skip_verify: bool = False


class Header(_Section, frozen=True):
    """Values of one header, all of which are sent: plain, secret, or the contents of files."""

    values: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


class HttpConfig(_Section, frozen=True):
    """The file's contents; empty: no credentials, the public CAs."""

    authorization: Authorization | None = None
    basic_auth: BasicAuth | None = None
    tls_config: TlsConfig = TlsConfig()
    http_headers: dict[str, Header] = {}

    @property
    def has_secrets(self) -> bool:
        """Whether the file itself holds a secret."""
        inline = [self.authorization and self.authorization.credentials, self.basic_auth and self.basic_auth.password]
        return any(inline) or any(header.secrets for header in self.http_headers.values())


class Credentials:
    """Headers and TLS context of requests to a source, from a configuration and the files that it names now."""

    def __init__(self, config: HttpConfig, folder: Path) -> None:
        """`folder` is that of the configuration; relative paths start there."""
        self._config, self._folder = config, folder

    def headers(self) -> list[tuple[str, str]]:
        """Return the headers of a request; raises HttpConfigError."""
        found = []
        if (given := self._config.authorization) is not None:
            token = self._secret("authorization.credentials", given.credentials, given.credentials_file)
            found.append(("Authorization", f"{given.type} {token}"))
        if (basic := self._config.basic_auth) is not None:
            password = self._secret("basic_auth.password", basic.password, basic.password_file)
            pair = base64.b64encode(f"{basic.username}:{password}".encode()).decode()
            found.append(("Authorization", f"Basic {pair}"))
        for name, header in self._config.http_headers.items():
            for value in (*header.values, *header.secrets):
                found.append((name, _sendable(f"http_headers.{name}", value)))
            found += [(name, self._secret(f"http_headers.{name}.files", None, file)) for file in header.files]
        return found

    def tls_files(self) -> tuple[tuple[str, int, int, int], ...]:
        """Return a value that changes when one of the TLS files does; raises HttpConfigError."""
        tls, found = self._config.tls_config, []
        for name in filter(None, (tls.ca_file, tls.cert_file, tls.key_file)):
            try:
                at = (self._folder / name).stat()
            except OSError as error:
                raise HttpConfigError(f"{self._folder / name}: can't be read: {error.strerror}.") from error
            found.append((name, at.st_ino, at.st_mtime_ns, at.st_size))
        return tuple(found)

    def tls_context(self) -> ssl.SSLContext:
        """Return the context of connections; raises HttpConfigError."""
        import httpx  # noqa: PLC0415 - a command reads its configuration before anything slow is imported

        tls = self._config.tls_config
        file = tls.ca_file
        try:
            if tls.ca_file is not None and not tls.insecure_skip_verify:
                context = ssl.create_default_context(cafile=str(self._folder / tls.ca_file))
            else:
                context = httpx.create_ssl_context(verify=not tls.insecure_skip_verify)
            if tls.cert_file is not None and tls.key_file is not None:
                file = f"{tls.cert_file}, {tls.key_file}"
                # The empty password keeps an encrypted key from asking for one on the terminal.
                context.load_cert_chain(self._folder / tls.cert_file, self._folder / tls.key_file, password="")
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or "not a PEM file"
            raise HttpConfigError(f"{file}: can't be used: {reason}. Give PEM files without a passphrase.") from error
        return context

    def _secret(self, field: str, text: str | None, file: str | None) -> str:
        if file is None:
            return _sendable(field, text or "")
        path = self._folder / file
        try:
            return _sendable(str(path), path.read_text(encoding="ascii").strip())
        except UnicodeDecodeError:
            raise HttpConfigError(f"{path}: isn't one line of ASCII text.") from None
        except OSError as error:
            raise HttpConfigError(f"{path}: can't be read: {error.strerror}.") from error


def load(path: Path) -> Credentials:
    """Read a configuration and everything that it names; raises HttpConfigError."""
    try:
        text = path.read_text(encoding="utf-8")
        problem_of_mode = exposed(path)
    except (OSError, UnicodeDecodeError) as error:
        raise HttpConfigError(f"{path}: can't be read: {getattr(error, 'strerror', None) or 'not UTF-8'}.") from error
    try:
        config = msgspec.convert(strict_yaml.load(text) or {}, HttpConfig)
    except strict_yaml.InvalidYamlError as error:  # its message may quote a value, which may be a secret
        line = str(error).partition(":")[0]
        raise HttpConfigError(f"{path}: not YAML, line {line} (or a key stands twice). Fix the syntax.") from None
    except msgspec.ValidationError as error:
        raise HttpConfigError(
            f"{path}: {printable(str(error))}. Use the fields of Prometheus' HTTP configuration."
        ) from error
    if problem := _problem(config):
        raise HttpConfigError(f"{path}: {problem}")
    if config.has_secrets and problem_of_mode:
        raise HttpConfigError(f"{path}: holds a secret. {problem_of_mode}")
    found = Credentials(config, path.parent)
    try:
        found.headers()
        found.tls_context()
    except HttpConfigError as error:
        raise HttpConfigError(f"{path}: {error}") from error
    return found


def _problem(config: HttpConfig) -> str | None:
    """Return what contradicts itself."""
    given, basic, tls = config.authorization, config.basic_auth, config.tls_config
    scheme = given.type if given else "Bearer"
    problems = {
        "both authorization and basic_auth. Remove one.": given and basic,
        "authorization: give either credentials or credentials_file.": given
        and (given.credentials is None) == (given.credentials_file is None),
        "authorization.type: not a scheme such as Bearer. Basic has a section of its own, basic_auth.": scheme.lower()
        == "basic"
        or not _NAME.fullmatch(scheme),
        "basic_auth: give either password or password_file.": basic
        and (basic.password is None) == (basic.password_file is None),
        "tls_config: give both cert_file and key_file.": (tls.cert_file is None) != (tls.key_file is None),
    }
    for name in config.http_headers:
        problems[f"http_headers.{name}: can't be set."] = not _NAME.fullmatch(name) or name.lower() in _RESERVED
    return next((problem for problem, found in problems.items() if found), None)


def _sendable(where: str, value: str) -> str:
    """Return a header's value. One with a line break would begin another header. Raises HttpConfigError."""
    if not value or not _VALUE.fullmatch(value):
        raise HttpConfigError(f"{where}: isn't one line of ASCII text.")
    return value


NO_CREDENTIALS = Credentials(HttpConfig(), Path())
