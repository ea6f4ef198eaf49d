#!/bin/sh
# Gets what the tests need beside Python: Debian's packages, and a real vLLM in an environment of its own (cached).
# Nothing here fails the tests: what cannot be had is named with the tests that are left out without it.
set -u
cd "$(dirname "$0")/../.." || exit 1

missing=""
need() { # need COMMAND PACKAGE TESTS
    command -v "$1" >/dev/null 2>&1 || missing="$missing$2|$3
"
}
need prometheus prometheus "the tests marked prometheus"
need promtool prometheus "the tests marked prometheus"
need prometheus-alertmanager prometheus-alertmanager "the tests marked prometheus that send alerts"
need amtool prometheus-alertmanager "the tests marked prometheus that send alerts"
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="${missing}postgresql|the tests marked postgresql
"
need victoria-metrics victoria-metrics "the tests that read a VictoriaMetrics"
need faketime faketime "the tests that change the system clock"
need chromium chromium "the tests marked browser"
need npm npm "the tests that render the Helm chart or check the pages for accessibility"
need gcc gcc "the NVML tests (their library is compiled)"
echo '#include <stdio.h>' | gcc -E - >/dev/null 2>&1 || missing="${missing}libc6-dev|the NVML tests (their library is compiled)
"

if [ -n "$missing" ]; then
    packages=$(printf '%s' "$missing" | cut -d'|' -f1 | sort -u | tr '\n' ' ')
    if [ -f /etc/debian_version ] && [ "$(id -u)" = 0 ]; then
        echo "Installing Debian packages for the tests: $packages"
        # Only the binaries are wanted: no service of a package may start by itself.
        # shellcheck disable=SC2086 # one word per package
        if { apt-get -qq update && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive \
            apt-get -qq -y --no-install-recommends -o Dpkg::Use-Pty=0 install $packages; } >/dev/null; then
            missing=""
        else
            echo "apt-get could not install them." >&2
        fi
    fi
    printf '%s' "$missing" | sort -u | while IFS='|' read -r package tests; do
        echo "Missing: $package. Without it are left out: $tests." >&2
    done
fi

.venv/bin/python tests/tools/newer.py || true
.venv/bin/python tests/tools/interpreters.py || true
.venv/bin/python tests/tools/helm.py || true
.venv/bin/python tests/tools/axe.py || true
.venv/bin/python tests/tools/real_engine.py || true
.venv/bin/python tests/tools/real_llama.py || true
.venv/bin/python tests/tools/real_litellm.py || true
.venv/bin/python tests/tools/real_ray.py || true
