#!/bin/sh
# test_run_examples.sh - the examples of the documentation, as programs that see
# the public header and the shared library only: they run, from an empty
# database and again from what they stored, and print what they should.
set -eu
build=${SK_BUILD_DIR:?the folder of the build}

skip() {
    printf 'skipped: %s\n' "$*" >&2
    exit 77
}
[ -x "$build/bin/minimal" ] && [ -x "$build/bin/coded" ] && [ -x "$build/bin/offload" ] && [ -x "$build/bin/verify" ] &&
    [ -x "$build/bin/shift" ] || skip 'the examples are not built'
[ -e "$build/lib/sphkv_llvm.so" ] || skip 'no compiler module: nothing can be planned from scratch'

work=$(mktemp -d "${TMPDIR:-/tmp}/sphkv-test-XXXXXX")
trap 'rm -rf "$work"' EXIT
SPHKV_DB=$work/kernels.db
export SPHKV_DB

# Three tokens, logits 0.5, 0 and 0, values in the first only: 0.4519 of 1, 2, 3.
near='$1 == "out" { n++; for (i = 1; i <= 3; i++) { d = $(i + 2) - i * 0.451863; off += d * d } }
      END { exit n != 1 || off > 1e-5 }'
said='^attn_decode d64 .*kf16:vf16 | .* | default$'
for run in first second; do
    "$build/bin/minimal" >"$work/out"
    grep -q "$said" "$work/out" && awk "$near" "$work/out" || {
        echo "the $run run of minimal printed:"
        cat "$work/out"
        exit 1
    } >&2
    # The second run finds its code and needs no compiler.
    SPHKV_LLVM_MODULE=$work/none
    export SPHKV_LLVM_MODULE
done

# A tree that was moved, with a database in share/ and nothing of the user's.
mkdir -p "$work/prefix/bin" "$work/prefix/lib" "$work/prefix/share/sphkv/db"
cp "$build/bin/minimal" "$work/prefix/bin"
cp -P "$build"/lib/libsphkv.so* "$work/prefix/lib"
cp "$SPHKV_DB" "$work/prefix/share/sphkv/db/shipped.db"
SPHKV_DB=$work/none.db "$work/prefix/bin/minimal" >"$work/out"
awk "$near" "$work/out"
unset SPHKV_LLVM_MODULE

"$build/bin/coded" >"$work/out"
grep -q '^[0-9]* bytes a token coded, 512 dense; out = -*[0-9.]* ' "$work/out" &&
    ! grep -qi nan "$work/out" || {
    echo 'coded printed:'
    cat "$work/out"
    exit 1
} >&2

# It judges itself: attention joined over two places against attention over one.
"$build/bin/offload" >"$work/out"
grep -q 'from both at once$' "$work/out"

# So does it: a draft checked by one run against as many steps.
"$build/bin/verify" >"$work/out"
grep -q '^4 tokens of a draft in one run' "$work/out"

# And keys before RoPE, whose context is shifted.
"$build/bin/shift" >"$work/out"
grep -q '^40 tokens moved back by 1000 positions' "$work/out"

# With nothing stored and no compiler: one line that says what to do, exit 1.
rm -f "$SPHKV_DB"
if SPHKV_LLVM_MODULE=$work/none "$build/bin/minimal" 2>"$work/err"; then
    echo 'minimal ran with neither a compiler nor stored code' >&2
    exit 1
fi
grep -q 'sphkv-tune' "$work/err"
