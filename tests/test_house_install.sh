#!/bin/sh
# test_house_install.sh - what an engine author gets: installs the build into a
# folder of its own, builds a program against it by pkg-config alone, as strict
# C and, where there is a compiler for it, as C++, and runs it from there. Also:
# the shared library shows nothing but sphkv_* to the world, and asks for nothing
# that prints, exits or changes the process around it.
set -eu
build=${SK_BUILD_DIR:?the folder of the build}

skip() {
    printf 'skipped: %s\n' "$*" >&2
    exit 77
}
for tool in cmake cc pkg-config nm; do
    command -v $tool >/dev/null || skip "no $tool"
done
grep -q '^SPHKV_SANITIZE:[A-Z]*=none' "$build/CMakeCache.txt" || skip 'a sanitizer build'
[ -e "$build/lib/libsphkv.so" ] || skip 'libsphkv.so is not built'

work=$(mktemp -d "${TMPDIR:-/tmp}/sphkv-test-XXXXXX")
trap 'rm -rf "$work"' EXIT
cmake --install "$build" --prefix "$work/prefix" >"$work/log" 2>&1 || {
    tail -n 5 "$work/log" >&2
    exit 1
}

foreign=$(nm -D --defined-only "$work/prefix/lib/libsphkv.so" | awk '$3 !~ /^sphkv_/ { print $3 }')
[ -z "$foreign" ] || {
    printf 'libsphkv.so also exports:\n%s\n' "$foreign" >&2
    exit 1
}

# A library that prints, exits or changes its host process has to ask for these.
rude=$(nm -D --undefined-only "$work/prefix/lib/libsphkv.so" | awk '{ print $2 }' | sed 's/@.*//' |
    grep -xE 'printf|puts|putchar|perror|stdout|stderr|exit|_exit|quick_exit|abort|__assert_fail|setlocale|setenv|putenv|unsetenv|chdir|umask|signal|sigaction|rand|srand|strtok|system' || :)
[ -z "$rude" ] || {
    printf 'libsphkv.so calls what a library must not:\n%s\n' "$rude" >&2
    exit 1
}

cat >"$work/engine.c" <<'END'
#include <sphkv.h>
#include <stdio.h>
int main(void)
{
    sphkv_error err;
    sphkv_context *ctx = NULL;
    if (sphkv_open(NULL, &ctx, &err) != SPHKV_OK) {
        printf("%s\n", err.message);
        return 1;
    }
    sphkv_close(ctx);
    printf("%s\n", sphkv_version());
    return 0;
}
END
PKG_CONFIG_PATH=$work/prefix/lib/pkgconfig
XDG_CACHE_HOME=$work/cache # the user's own database is not the test's business
export PKG_CONFIG_PATH XDG_CACHE_HOME
unset SPHKV_DB
flags=$(pkg-config --cflags --libs sphkv)

try() { # compiler, its options
    # shellcheck disable=SC2086 # flags are words
    "$@" -Wall -Wextra -Wpedantic -Werror "$work/engine.c" -o "$work/engine" -x none \
        $flags "-Wl,-rpath,$work/prefix/lib"
    said=$("$work/engine") || {
        printf '%s: the engine failed: %s\n' "$1" "$said" >&2
        exit 1
    }
    [ "$said" = "$(pkg-config --modversion sphkv)" ] || {
        printf '%s: version %s, pkg-config says %s\n' "$1" "$said" \
            "$(pkg-config --modversion sphkv)" >&2
        exit 1
    }
}
try cc -std=c11
if command -v c++ >/dev/null; then
    try c++ -std=c++17 -x c++
fi
for program in "$work"/prefix/bin/*; do
    [ ! -e "$program" ] || "$program" --help >/dev/null || {
        printf '%s --help failed\n' "${program##*/}" >&2
        exit 1
    }
done
