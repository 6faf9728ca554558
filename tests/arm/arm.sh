#!/bin/sh
# arm.sh - kernels on AArch64 with no such machine: everything is built by Debian's
# cross compiler, LLVM compiles kernels for NEON, and qemu's user mode runs the tests.
# That proves results and the loader of code, never a time. ./run arm calls it.
#
# The libraries of the other architecture are unpacked into a folder of their own:
# this machine's packages and package lists stay as they are.
set -eu

root=$1
shift
build=$root/build-aarch64
SPHKV_ARM_ROOT=${SPHKV_ARM_ROOT:-$build/root}
export SPHKV_ARM_ROOT
tests='^(cpu_(jit|ops|object|random|select|target)|kernel_|prop_)'
packages="libc6 libc6-dev linux-libc-dev libgcc-s1 libstdc++6 libllvm19 libsqlite3-0
 libsqlite3-dev libcjson1 libcjson-dev libcmocka0 libcmocka-dev libtinfo6 libedit2 libffi8
 libicu72 zlib1g zlib1g-dev libxml2 libz3-4 libzstd1 libbsd0 libmd0 liblzma5 libgmp10"

die() {
    code=$1
    shift
    printf 'run arm: %s\n' "$*" >&2
    exit "$code"
}

if [ "${1:-}" = --help ]; then
    cat <<END
usage: ./run arm [options of ctest]

Builds for AArch64 in build-aarch64/ and runs tests under qemu; without options those
that compile and run kernels in one process. SPHKV_ARM_ROOT: a folder with arm64
libraries, instead of one filled from Debian's packages.

  ./run arm -R kernel_keys    one of them (minutes: qemu is slow)
END
    exit 0
fi
for tool in aarch64-linux-gnu-gcc:gcc-aarch64-linux-gnu qemu-aarch64:qemu-user cmake:cmake \
    ninja:ninja-build llvm-config-19:llvm-19-dev; do
    command -v "${tool%%:*}" >/dev/null 2>&1 ||
        die 3 "${tool%%:*} is missing: apt-get install ${tool##*:}"
done

# apt with lists of its own, for the other architecture.
arm_apt() {
    apt-get -q -o APT::Architecture=arm64 -o APT::Architectures::=arm64 \
        -o Dir::State="$build/apt" -o Dir::State::status="$build/apt/status" \
        -o Dir::Cache="$build/apt/cache" -o APT::Sandbox::User="$(id -un)" "$@"
}

fill_root() {
    mkdir -p "$build/apt/lists/partial" "$build/apt/cache/archives/partial" "$build/debs"
    : >"$build/apt/status"
    arm_apt update >"$build/apt.log" 2>&1 || die 3 "no lists of arm64 packages; see $build/apt.log"
    # shellcheck disable=SC2086 # one word per package
    (cd "$build/debs" && arm_apt download $packages) >>"$build/apt.log" 2>&1 ||
        die 3 "no arm64 packages; see $build/apt.log"
    for package in "$build"/debs/*.deb; do dpkg -x "$package" "$SPHKV_ARM_ROOT"; done
    touch "$SPHKV_ARM_ROOT/complete"
}
[ "$SPHKV_ARM_ROOT" != "$build/root" ] || [ -f "$SPHKV_ARM_ROOT/complete" ] || fill_root

echo "building $build" >&2
{
    cmake -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release \
        -DCMAKE_TOOLCHAIN_FILE="$root/tests/arm/aarch64.cmake" \
        -DSPHKV_LLVM_CONFIG="$root/tests/arm/llvm-config" &&
        cmake --build "$build"
} >"$build/build.log" 2>&1 || { tail -n 20 "$build/build.log" >&2 && die 1 "see $build/build.log"; }
[ $# -gt 0 ] || set -- -R "$tests"
exec ctest --test-dir "$build" --output-on-failure --no-tests=error -j2 "$@"
