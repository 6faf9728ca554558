#!/bin/sh
# test_cpu_gen.sh - sphkv-gen: what it prints, where, and with which exit code.
set -eu
LC_ALL=C
export LC_ALL
gen=${SK_BUILD_DIR:?}/bin/sphkv-gen
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
    echo "FAILED: $*" >&2
    sed 's/^/  /' "$work/err" >&2
    exit 1
}

# expect CODE WORD ARGS...: the exit code, and WORD in stdout or stderr.
expect() {
    want=$1 word=$2
    shift 2
    code=0
    "$gen" "$@" >"$work/out" 2>"$work/err" || code=$?
    [ "$code" -eq "$want" ] || fail "sphkv-gen $*: exit code $code, not $want"
    grep -qF -- "$word" "$work/out" "$work/err" || fail "sphkv-gen $*: does not say '$word'"
}

expect 0 'examples:' --help
expect 0 'kv_encode' --list
expect 0 '"tunables":' --list --json
expect 0 'kernel sk_attn_decode_d128_h4' --heads-per-kv 4
expect 0 'w 4 warps 1' --kernel kv_append --schedule w=4 --tiers kf16:vf16
expect 0 '"ir_hash":' --heads-per-kv 4 --json
expect 2 "'nothing'" --kernel nothing
expect 2 "'exe'" --emit exe
expect 2 '--bogus' --bogus
expect 2 'stray' stray
expect 2 "'znver33'" --cpu znver33 --emit asm
expect 2 'w' --schedule w=5
expect 0 'w=8,lut=pair16' --heads-per-kv 4 --tiers good:vi8,kf16:vf16 --cpu znver4 --schedule w=8
expect 2 "given twice" --schedule w=8,w=16
expect 0 'sm_90' --list
expect 0 '"gpus":' --list --json
expect 2 'is a GPU' --emit asm --arch sm_90
expect 1 'sm_91' --arch sm_91
expect 0 'EXTERN_C __global__ void __launch_bounds__(' --kernel kv_append --emit cuda
expect 0 'warps' --kernel kv_append --arch sm_75
expect 2 "'znver3' is a CPU" --kernel kv_append --emit ptx --arch znver3
expect 2 "'sm_ninety'" --arch sm_ninety
expect 2 'no database' --db some.db
expect 2 '--schedule needs' --schedule
expect 1 'no tier' --kernel kv_append --tiers good:vi8
SPHKV_LLVM_MODULE=$work/absent.so
export SPHKV_LLVM_MODULE
expect 3 'absent.so' --emit asm --out "$work/never"
[ ! -e "$work/never" ] || fail "a file in spite of the error"
unset SPHKV_LLVM_MODULE
with_nvrtc=0
"$gen" --kernel kv_append --emit resources >/dev/null 2>"$work/nvrtc" || with_nvrtc=$?
(
    SPHKV_NVRTC=$work/absent.so
    export SPHKV_NVRTC
    expect 3 'absent.so' --kernel kv_append --emit cubin --out "$work/never"
) || exit 1
[ ! -e "$work/never" ] || fail "a file in spite of the error"
if [ "$with_nvrtc" -eq 0 ]; then
    expect 0 'registers' --kernel kv_append --emit resources --arch sm_80
    expect 0 '"spilled_bytes":0' --kernel kv_append --emit resources --json
    expect 0 '.target sm_75' --kernel kv_append --emit ptx --arch sm_75
    expect 0 '"least_driver":' --kernel kv_append --emit cubin --json --out "$work/kernel.cubin"
    [ "$(head -c 4 "$work/kernel.cubin" | tail -c 3)" = ELF ] || fail "kernel.cubin is none"
else
    echo "what NVRTC makes is not tried: $(tail -n 1 "$work/nvrtc")"
fi

if [ ! -e "$SK_BUILD_DIR/lib/sphkv_llvm.so" ]; then
    echo "no compiler module: compiled forms not tried"
    exit 0
fi
expect 0 'vpshufb' --heads-per-kv 4 --emit asm --cpu znver3
expect 0 'define void @sk_attn_decode' --heads-per-kv 4 --emit llvm --cpu x86-64
expect 0 'attn_decode d128' --heads-per-kv 4 --emit obj --out "$work/kernel.o"
[ "$(head -c 4 "$work/kernel.o" | tail -c 3)" = ELF ] || fail "kernel.o is no object"
[ ! -s "$work/out" ] || fail "something on stdout beside the object"
# The same bytes again, whatever else is asked for.
expect 0 '"bytes":' --heads-per-kv 4 --emit obj --json --out "$work/again.o"
cmp "$work/kernel.o" "$work/again.o" || fail "two objects of one kernel differ"
