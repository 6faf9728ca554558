#!/bin/sh
# ./run gpu: its options, and what it says where there is no GPU; with the double of
# a driver that runs nothing, every case is called wrong, and its line is there.
set -u
gpu="sh $SK_SOURCE_DIR/tests/gpu/gpu.sh $SK_SOURCE_DIR"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export SPHKV_BIN="$SK_BUILD_DIR/bin"
failed=0

# code, word of stderr, options
expect() {
    code=$1 word=$2
    shift 2
    # shellcheck disable=SC2086
    $gpu "$@" >"$work/said" 2>"$work/err"
    status=$?
    [ "$status" -eq "$code" ] && grep -q -e "$word" "$work/err" && return
    echo "FAILED: run gpu $*: exit $status, not $code, or no '$word' in: $(cat "$work/err")"
    failed=1
}

$gpu --help | grep -q steps.txt || { echo 'FAILED: no help'; failed=1; }
expect 2 'no number' "$work/a" --minutes x
expect 2 'no such option' "$work/a" --fast
expect 2 'takes a value' "$work/a" --device
SPHKV_CUDA_DRIVER=$work/none.so expect 3 'none.so' "$work/a" --device cuda:0
[ -f "$work/a/device.txt" ] || { echo 'FAILED: the machine is not described'; failed=1; }

fake=$SK_BUILD_DIR/hooked/lib/fake_cuda.so
[ -f "$fake" ] || exit "$failed"
SPHKV_CUDA_DRIVER=$fake SK_FAKE_GPUS=sm_90:132 "$SK_BUILD_DIR/bin/gpu_cases" --most 2 --more 0 \
    >"$work/cases" 2>"$work/err"
status=$?
if [ "$status" -eq 3 ]; then
    echo "left out, no compiler of CUDA text: $(cat "$work/err")"
elif [ "$status" -ne 1 ] || [ "$(grep -c '"state":"wrong"' "$work/cases")" -ne 2 ]; then
    echo "FAILED: gpu_cases on a device that runs nothing: exit $status, $(cat "$work/cases")"
    failed=1
fi
exit "$failed"
