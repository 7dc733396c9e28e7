#!/bin/sh
# Runs the arm64 bot image on any architecture (`make test-arm64`): builds it, registers QEMU with this machine's kernel if
# necessary, and runs a test that starts the runtime in it.
set -eu
cd "$(dirname "$0")/.."
. images/apt.sh

die() {
    printf 'arm64: FAILED: %s\n' "$*" >&2
    exit 1
}

runs_arm64() { [ "$(uname -m)" = aarch64 ] || grep -qs enabled /proc/sys/fs/binfmt_misc/qemu-aarch64; }

if ! runs_arm64; then
    echo "arm64: registering QEMU for arm64 programs with this machine's kernel"
    apt_need qemu-aarch64-static qemu-user-static binfmt-support || die "the packages above are missing"
    [ "$(id -u)" = 0 ] || die "registering QEMU with the kernel needs root: run 'sudo make test-arm64'"
    [ -e /proc/sys/fs/binfmt_misc/register ] || mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc ||
        die "this kernel has no binfmt_misc"
    update-binfmts --enable qemu-aarch64 || die "update-binfmts could not register qemu-aarch64"
    runs_arm64 || die "the kernel did not accept qemu-aarch64; see 'update-binfmts --display qemu-aarch64'"
fi
# A tag of its own, so that the image for this machine's architecture stays.
.venv/bin/python -m images.builder build --images bot --platforms linux/arm64 --tag arm64
BOTDOCK_TEST_ARM64=1 .venv/bin/python -m pytest -q tests/e2e/test_arm64.py
