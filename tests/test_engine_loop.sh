#!/bin/sh
# test_engine_loop.sh - decode_loop with generated keys and values: every step of
# several mixes within its accuracy class, the same pages whatever the order of
# arrival, no compiler in the process once the kernels are stored, and one plain
# line for what cannot be done.
set -eu
build=${SK_BUILD_DIR:?the folder of the build}
loop=$build/bin/decode_loop

skip() {
    printf 'skipped: %s\n' "$*" >&2
    exit 77
}
[ -x "$loop" ] || skip 'decode_loop is not built'

work=$(mktemp -d "${TMPDIR:-/tmp}/sphkv-test-XXXXXX")
trap 'rm -rf "$work"' EXIT
SPHKV_DB=$work/kernels.db
export SPHKV_DB
failures=0

fail() {
    printf 'FAILED: %s\n' "$1" >&2
    sed 's/^/    /' "$work/out" "$work/err" >&2
    failures=$((failures + 1))
}

# Runs decode_loop; its output and messages are in $work, its code in $code.
run() {
    code=0
    "$loop" "$@" >"$work/out" 2>"$work/err" || code=$?
}

# exit code, what the output must hold (a pattern), options ...
expect() {
    wanted=$1
    pattern=$2
    shift 2
    run "$@"
    [ "$code" -eq "$wanted" ] || fail "exit $code, not $wanted: $*"
    grep -q -e "$pattern" "$work/out" "$work/err" || fail "no '$pattern': $*"
}

# One line on stderr, nothing on stdout.
refuse() {
    expect "$@"
    [ "$(wc -l <"$work/err")" -eq 1 ] && [ ! -s "$work/out" ] || fail "not one plain line: $*"
}

small='--head-dim 64 --heads 8 --kv-heads 2'

# shellcheck disable=SC2086 # options are words
run $small --context 10 --steps 1 --threads 1
[ "$code" -ne 3 ] || skip "$(cat "$work/err")"

# Mixes and classes. Kernels are compiled and stored by the first run of each.
# shellcheck disable=SC2086
{
    expect 0 'check: 40 steps.*ok' $small --context 100 --steps 40 --tiers kf32:vf32 --accuracy exact --threads 3
    expect 0 'check: 40 steps.*ok' $small --context 300 --steps 40 --threads 2 # fills a page: coded
    expect 0 'check: 9 steps.*ok' $small --context 300 --steps 9 --threads 5 --batch 3 \
        --tiers high:vf16,good:vi8,kf16:vf16 --accuracy exact
    expect 0 'check: 5 steps.*ok' --head-dim 128 --heads 4 --kv-heads 4 --context 129 --steps 10 \
        --check 2 --page 64 --tiers lean:vi8,kf32:vf32
    expect 0 'check: 9 steps.*ok' $small --context 200 --steps 9 --threads 2 --page 64 \
        --tiers high:vf16,good:vi8,kf16:vf16 --book permutation,mean
    expect 0 'check: 9 steps.*ok' $small --context 200 --steps 9 --threads 2 --page 64 \
        --tiers sharp:vi8,thin:vf16,kf16p:vf16 # before RoPE
    expect 0 'check: 2 steps.*ok' $small --context 0 --steps 2 # from nothing
    expect 0 'check: 2 steps.*ok' --model qwen3-8b --layers 1 --context 130 --steps 2

    # The same bits, whatever the order of arrival; pages left partly filled.
    expect 0 'the same bits' $small --selftest --context 300 --steps 13
    expect 0 'the same bits' $small --selftest --context 200 --steps 17 --threads 3 \
        --tiers high:vf16,good:vi8,kf16:vf16 --accuracy exact --batch 2
    expect 0 'the same bits' $small --selftest --context 150 --steps 7 --page 64 --batch 2 \
        --tiers sharp:vi8,thin:vf16,kf16p:vf16

    # Stored kernels need no compiler, and load none.
    expect 0 'libLLVM: not mapped' $small --context 300 --steps 40 --threads 2 --no-jit
    expect 0 '"libLLVM":.*"not mapped"' $small --context 300 --steps 40 --threads 2 --no-jit --json
    expect 3 'none can be compiled' $small --context 64 --steps 3 --no-jit --tiers good:vf16,kf16:vf16 --db "$work/empty.db"
}

# What cannot be done is said in one line.
refuse 2 'last tier must be one that new tokens go to' --tiers good:vi8
refuse 2 'last tier must be one' --tiers kf16:vf16,good:vi8
refuse 2 'unknown, or its value is missing' --frobnicate
refuse 2 'must be a number from 1 to' --steps 0
refuse 2 'must be a number from 1 to' --threads 99999999999999999999
refuse 2 'known are' --model gpt-17
refuse 2 'cannot share' --heads 6 --kv-heads 4
refuse 2 'is no option' surprise
refuse 2 'tight, exact, fast' --accuracy perfect
refuse 2 'there are mean, permutation, transform and hadamard' --book mean,median
refuse 2 'go with --weights' --text "$work/out"
refuse 2 'more than 4 tiers' --tiers a,b,c,d,e
refuse 2 'tier' --tiers ,
expect 0 'engine in miniature' --help

[ "$failures" -eq 0 ]
