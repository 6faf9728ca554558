#!/bin/sh
# gpu.sh - everything that a machine with a GPU can say about this tree, in one go:
# kernels right on the device, tuned, timed against what else there is. ./run gpu
# calls it.
#
# Each step leaves its result in OUT as it goes, and a line in OUT/steps.txt; stopped
# half way, what is there is good. Programs are those of build-portable/ when it was
# taken along (no compiler of C is needed then, and no network), else of build/.
set -u

root=$1
shift
out=$root/gpu-results minutes=20 device=cuda:0
models=llama-3.1-8b

usage() {
    cat <<END
usage: ./run gpu [OUT] [--minutes N] [--device cuda:N] [--model NAME,...]

Checks every kernel on the GPU, tunes, and times; results go to OUT (gpu-results/):
  device.txt      the GPU, driver and compiler
  cases.jsonl     every case, a line each: right or wrong, registers
  sanitizer.txt   compute-sanitizer over some of them, where it is installed
  tune.json       winners; kernels.db with all trials; kernels.json: it as text
  bench.json      against dense f16, dense fp8, the ceiling and the bandwidth; .txt
  growth.json     a captured graph over growing contexts and uneven lists
  sdpa.json       PyTorch's attention, where torch is installed
  steps.txt       what ran, its exit code and seconds

  --minutes N     for all of it (default 20); cases and bench are not cut short
  --device        which GPU (default cuda:0)
  --model         whose shapes are tuned (default llama-3.1-8b)

Exit code: 0 done, 1 a step failed or found something wrong, 2 usage, 3 no GPU or no
compiler of CUDA text (NVRTC).
END
}

die() {
    code=$1
    shift
    printf 'run gpu: %s\n' "$*" >&2
    exit "$code"
}

while [ $# -gt 0 ]; do
    case $1 in
    --help | -h) usage && exit 0 ;;
    --minutes | --device | --model) [ $# -gt 1 ] || die 2 "$1 takes a value" ;;
    -*) die 2 "no such option: $1" ;;
    esac
    case $1 in
    --minutes) minutes=$2 && shift ;;
    --device) device=$2 && shift ;;
    --model) models=$2 && shift ;;
    *) out=$1 ;;
    esac
    shift
done
case $minutes in '' | *[!0-9]* | 0) die 2 "--minutes: '$minutes' is no number of minutes" ;; esac

bin=${SPHKV_BIN:-} # where programs are, when neither of the two folders is meant
[ -n "$bin" ] || for build in build-portable build; do
    if [ -x "$root/$build/bin/gpu_cases" ] && "$root/$build/bin/sphkv-tune" --help >/dev/null 2>&1; then
        bin=$root/$build/bin
        break
    fi
done
if [ -z "$bin" ]; then
    sh "$root/run" build || exit
    bin=$root/build/bin
fi
mkdir -p "$out" || die 2 "no place for results: $out"
: >"$out/steps.txt"
worst=0 started=$(date +%s)
export SPHKV_DB="$out/kernels.db"

# name, seconds at most, what to run; its stdout goes to OUT/file
step() { # name file limit command ...
    name=$1 file=$2 limit=$3
    shift 3
    printf 'run gpu: %s\n' "$name" >&2
    from=$(date +%s) status=0
    timeout -k 30 "$limit" "$@" >"$out/$file" 2>"$out/$name.log" || status=$?
    printf '%s %s %s\n' "$name" "$status" $(($(date +%s) - from)) >>"$out/steps.txt"
    if [ "$status" -ne 0 ]; then
        tail -n 5 "$out/$name.log" >&2
        printf 'run gpu: %s: exit code %s (%s)\n' "$name" "$status" "$out/$name.log" >&2
        [ "$status" -eq 3 ] || worst=1
    fi
    return "$status"
}

trap 'exit 130' INT TERM

describe() {
    nvidia-smi 2>&1 || echo 'no nvidia-smi'
    "$bin/sphkv-gen" --list 2>&1 | head -n 1
    uname -srm
}
describe >"$out/device.txt"

# Nothing else makes sense without a GPU that a kernel runs on.
"$bin/gpu_cases" --device "$device" --most 1 --more 0 >/dev/null 2>"$out/probe.log"
[ $? -ne 3 ] || die 3 "$(tail -n 1 "$out/probe.log")"

# half of the time at most; defaults of all specs come first
step cases cases.jsonl $((minutes * 30 + 120)) "$bin/gpu_cases" --device "$device" --more 1 \
    --seconds $((minutes * 30))
if command -v compute-sanitizer >/dev/null 2>&1; then
    for tool in memcheck racecheck synccheck; do
        step "$tool" "$tool.txt" 300 compute-sanitizer --tool "$tool" --target-processes all \
            --error-exitcode 9 "$bin/gpu_cases" --device "$device" --most 12 --more 0
    done
fi

left=$((minutes * 60 - ($(date +%s) - started)))
[ "$left" -gt 60 ] || left=60
step tune tune.json $((left + 300)) "$bin/sphkv-tune" --device "$device" --model "$models" \
    --dtype f16,f16,f16 --kernels attn_decode --context 8192,32768 --batch 1,32 --time "${left}s" \
    --tiers 'good:vi8;high:vi8;good:vi8,kf16:vf16;kf16:vf16;kf8:vf8' --json
step bench bench.json 900 "$bin/sphkv-bench" --device "$device" --model "$models" \
    --dtype f16,f16,f16 --context 8192,32768 --batch 1,32 \
    --tiers 'good:vi8;high:vi8;good:vi8,kf16:vf16;kf8:vf8' --json
step bench_text bench.txt 900 "$bin/sphkv-bench" --device "$device" --model "$models" \
    --dtype f16,f16,f16 --context 32768 --batch 32 --tiers 'good:vi8;high:vi8;kf8:vf8'
step growth growth.json 600 "$bin/gpu_growth" --device "$device"
if command -v python3 >/dev/null 2>&1 && python3 -c 'import torch' 2>/dev/null; then
    step sdpa sdpa.json 600 python3 "$root/tests/gpu/sdpa.py"
fi
step database kernels.json 60 "$bin/sphkv-db" ls --db "$out/kernels.db" --json

cat "$out/steps.txt"
exit "$worst"
