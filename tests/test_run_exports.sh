#!/bin/sh
# test_run_exports.sh - the shared library has every function of the public
# header, and nothing else of ours: what the header says an engine can link.
set -eu
build=${SK_BUILD_DIR:?the folder of the build}
source_dir=${SK_SOURCE_DIR:?the folder of the sources}

skip() {
    printf 'skipped: %s\n' "$*" >&2
    exit 77
}
command -v nm >/dev/null || skip 'no nm'
[ -e "$build/lib/libsphkv.so" ] || skip 'libsphkv.so is not built'

work=$(mktemp -d "${TMPDIR:-/tmp}/sphkv-test-XXXXXX")
trap 'rm -rf "$work"' EXIT
# A declaration may go over several lines; its name is the last word before (.
tr '\n' ' ' <"$source_dir/runtime/include/sphkv.h" | sed 's/SPHKV_API/\n&/g' |
    sed -n 's/^SPHKV_API [^(;]*[ *]\(sphkv_[a-z0-9_]*\)(.*/\1/p' | sort -u >"$work/declared"
nm -D --defined-only "$build/lib/libsphkv.so" | awk '{ print $3 }' |
    grep -E '^_?(sphkv|sk)_' | sort -u >"$work/exported"
[ "$(wc -l <"$work/declared")" -ge 15 ] || {
    echo 'the declarations of sphkv.h were not understood' >&2
    exit 1
}
diff "$work/declared" "$work/exported" >"$work/diff" || {
    printf 'declared (<) and exported (>) differ:\n' >&2
    cat "$work/diff" >&2
    exit 1
}
