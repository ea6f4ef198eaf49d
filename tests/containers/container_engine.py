"""A container engine on a plain Debian machine, and base images made from Debian's packages: nothing comes from a container registry.

The stand-ins have the names that the Dockerfile and compose.yaml ask for. They hold Debian's builds of the same programs, so they show how
the stack works, not how large the real images are. Grafana isn't in Debian.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
CACHE = Path.home() / ".cache" / "plimsoll" / "containers"
PACKAGES = ("buildah", "podman", "runc", "netavark", "aardvark-dns", "debootstrap")
PODMAN_COMPOSE = "1.6.0"
SUITE = "trixie"
INCLUDE = (
    *("ca-certificates", "git", "python3", "python3-pip", "python3-venv", "wget"),
    *("postgresql-17", "prometheus", "prometheus-alertmanager"),
)
# Explicit limits: an engine that asks for more than the machine's own doesn't start.
SETTINGS = """[containers]
default_ulimits = ["nofile=1024:1024","nproc=10000:10000"]
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
runtime = "runc"
events_logger = "file"
[network]
network_backend = "netavark"
"""
# What the official images do beside holding the program.
STAND_INS = {
    "docker.io/library/python:3.13": "RUN ln -sf python3 /usr/bin/python && rm -f /usr/lib/python3*/EXTERNALLY-MANAGED",
    "docker.io/library/python:3.13-slim": "RUN ln -sf python3 /usr/bin/python && rm -f /usr/lib/python3*/EXTERNALLY-MANAGED",
    "docker.io/prom/prometheus:v3.5.0": "RUN install -d -o 65534 -g 65534 /prometheus\nUSER nobody\nWORKDIR /prometheus\n"
    'ENTRYPOINT ["prometheus"]',
    "docker.io/prom/alertmanager:v0.28.1": "RUN install -d -o 65534 -g 65534 /alertmanager\nUSER nobody\nWORKDIR /alertmanager\n"
    'ENTRYPOINT ["prometheus-alertmanager"]',
    "docker.io/library/postgres:17": "COPY postgres.sh /\nRUN install -d -o postgres /var/lib/postgresql/data\n"
    'ENV PATH=/usr/lib/postgresql/17/bin:/usr/sbin:/usr/bin:/sbin:/bin\nENTRYPOINT ["sh", "/postgres.sh"]',
}


class Containers:
    """An engine with images and containers of its own in one folder, which is removed with them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "containers.conf").write_text(SETTINGS)
        # Without overlays each container is a copy of its image.
        driver = "overlay" if "overlay" in Path("/proc/filesystems").read_text() else "vfs"
        self.storage = ("--storage-driver", driver, "--root", str(folder / "root"), "--runroot", str(folder / "run"))
        self.environment = {
            **os.environ,
            "CONTAINERS_CONF": str(folder / "containers.conf"),
            "TMPDIR": str(folder),
            "BUILDAH_ISOLATION": "chroot",
            "DISABLE_HC_SYSTEMD": "true",  # health checks are run by hand: a plain machine may have no systemd to time them
        }
        # podman-compose asks for one program without options.
        wrapper = folder / "podman"
        options = " ".join((*self.storage, "--cgroup-manager", "cgroupfs", "--runtime", "runc"))
        wrapper.write_text(f'#!/bin/sh\nexec podman {options} "$@"\n')
        wrapper.chmod(0o755)

    def podman(self, *arguments: str | Path, check: bool = True) -> str:
        """Output of podman."""
        return self.run(self.folder / "podman", *arguments, check=check)

    def logs(self, container: str) -> str:
        """Return what a container wrote, on standard output and standard error."""
        command = (self.folder / "podman", "logs", container)
        return subprocess.run(
            command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        ).stdout.strip()

    def run(self, *command: str | Path, cwd: Path | None = None, check: bool = True, **variables: str) -> str:
        """Output of a command; ends the program with it where it fails."""
        done = subprocess.run(
            command, cwd=cwd, env={**self.environment, **variables}, capture_output=True, text=True, check=False
        )
        if check and done.returncode:
            sys.exit(
                f"{' '.join(map(str, command))}: status {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
            )
        return done.stdout

    def build(self, context: Path, file: Path, tag: str) -> None:
        """Build an image. Only pip's certificates and index come from this machine: they are mounted, not copied."""
        settings = self.folder / "pip.conf"
        lines = [f"{key} = {value}" for key in ("cert", "index-url") if (value := pip_setting(key))]
        # Debian's own Python packages have no record of their files, so that pip can't replace them; it leaves them alone.
        settings.write_text("\n".join(("[global]", *lines, "[install]", "ignore-installed = true", "")))
        mounts = (f"{settings}:/etc/pip.conf:ro", "/etc/ssl/certs:/etc/ssl/certs:ro")
        flags = [word for mount in mounts for word in ("--volume", mount)]
        self.run("buildah", *self.storage, "bud", "--pull-never", *flags, "--file", file, "--tag", tag, context)

    def base_images(self) -> None:
        """Make the images that the Dockerfile and compose.yaml start from."""
        self.podman("import", debian_root(), "localhost/debian:1")
        for tag, steps in STAND_INS.items():
            context = self.folder / "stand-in"
            context.mkdir(exist_ok=True)
            shutil.copy(Path(__file__).with_name("postgres.sh"), context)
            (context / "Dockerfile").write_text(f"FROM localhost/debian:1\n{steps}\n")
            self.build(context, context / "Dockerfile", tag)

    def remove(self) -> None:
        """Remove every container, volume, network and image."""
        for what in (
            ("rm", "--all", "--force", "--time", "2"),
            ("volume", "prune", "--force"),
            ("network", "prune", "--force"),
        ):
            self.podman(*what, check=False)
        self.podman("rmi", "--all", "--force", check=False)


def pip_setting(key: str) -> str:
    """A setting of this machine's pip, or nothing."""
    done = subprocess.run(
        (sys.executable, "-m", "pip", "config", "get", f"global.{key}"), capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


def debian_root() -> Path:
    """An archive of a small Debian with the programs, made once."""
    archive = CACHE / f"{SUITE}.tar"
    if archive.exists():
        return archive
    CACHE.mkdir(parents=True, exist_ok=True)
    folder = CACHE / SUITE
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run(
        ("debootstrap", "--variant=minbase", f"--include={','.join(INCLUDE)}", SUITE, folder),
        check=True,
        stdout=subprocess.DEVNULL,
    )
    for name in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale"):
        shutil.rmtree(folder / name, ignore_errors=True)
    subprocess.run(("tar", "--create", "--file", archive.with_suffix(".part"), "--directory", folder, "."), check=True)
    shutil.rmtree(folder)
    return archive.with_suffix(".part").rename(archive)


def podman_compose() -> Path:
    """Path of podman-compose, in an environment of its own: its license (GPL) isn't one that Plimsoll's own tools have."""
    environment = CACHE / f"podman-compose-{PODMAN_COMPOSE}"
    program = environment / "bin" / "podman-compose"
    if not program.exists():
        subprocess.run((sys.executable, "-m", "venv", environment), check=True)
        pip = (environment / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check")
        subprocess.run((*pip, f"podman-compose=={PODMAN_COMPOSE}"), check=True)
    return program


def missing() -> list[str]:
    """Packages that must be installed first; installs them where that is possible."""

    def absent() -> list[str]:
        programs = {"netavark": "/usr/lib/podman/netavark", "aardvark-dns": "/usr/lib/podman/aardvark-dns"}
        return [one for one in PACKAGES if not (shutil.which(one) or Path(programs.get(one, "/nowhere")).exists())]

    if absent() and os.geteuid() == 0 and shutil.which("apt-get"):
        print(f"Installing Debian packages: {' '.join(absent())}", flush=True)
        quiet = ("-qq", "-y", "--no-install-recommends", "-oDpkg::Use-Pty=0")
        subprocess.run(("apt-get", "-qq", "update"), check=False, stdout=subprocess.DEVNULL)
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
        subprocess.run(
            ("apt-get", *quiet, "install", *absent()), check=False, stdout=subprocess.DEVNULL, env=environment
        )
    return absent()
