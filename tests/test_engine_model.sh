#!/bin/sh
# test_engine_model.sh - decode_loop with a trained model: byte by byte through
# the cache gives the nats of the same pass in double with dense attention;
# coded tiers differ from it, a little, and more the coarser they are; files that
# are damaged or say what is not done here are refused in one line.
set -eu
build=${SK_BUILD_DIR:?the folder of the build}
loop=$build/bin/decode_loop
data=${SK_SOURCE_DIR:-$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)}/tests/data/tiny-lm

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

run() {
    code=0
    "$loop" "$@" >"$work/out" 2>"$work/err" || code=$?
}

# "nats_per_byte" of mix $1 (1 = the first) in the JSON output.
nats() {
    sed -n 's/.*"nats_per_byte":[[:space:]]*\([-+.0-9e]*\),*$/\1/p' "$work/out" | sed -n "${1}p"
}

# "difference" of mix $1 (1 = the first) in the JSON output.
difference() {
    sed -n 's/.*"difference":[[:space:]]*\([-+.0-9e]*\),*$/\1/p' "$work/out" | sed -n "${1}p"
}

# the n-th mix, low, high: its difference to double lies within
within() {
    difference "$1" | awk -v low="$2" -v high="$3" '
        { seen = 1; if ($1 < low || $1 > high) exit 1 } END { if (!seen) exit 1 }' ||
        fail "mix $1: '$(difference "$1")' is not within $2 .. $3"
}

refuse() { # pattern, options ...
    pattern=$1
    shift
    run "$@"
    [ "$code" -eq 2 ] || fail "exit $code, not 2: $*"
    grep -q -e "$pattern" "$work/err" || fail "no '$pattern': $*"
    [ "$(wc -l <"$work/err")" -eq 1 ] && [ ! -s "$work/out" ] || fail "not one plain line: $*"
}

text=$data/heldout.txt
run --weights "$data" --text "$text" --windows 1 --window 16 --threads 1
[ "$code" -ne 3 ] || skip "$(cat "$work/err")"

run --weights "$data" --text "$text" --windows 1 --window 128 --reference double --json --threads 2
[ "$code" -eq 0 ] || fail "exit $code"
within 1 -0.001 0.001

run --weights "$data" --text "$text" --windows 2 --window 160 --page 32 --reference double --json \
    --threads 2 --train-windows 8 --tiers kf16:vf16 --tiers turbo:vi8,kf16:vf16 \
    --tiers good:vi8,kf16:vf16 --tiers low:vi8,kf16:vf16
[ "$code" -eq 0 ] || fail "exit $code"
within 1 -0.001 0.001
within 2 -0.1 0.2
within 3 0.0001 1
within 4 "$(difference 3)" 5 # the coarsest costs most
nats 4 >"$work/plain"

# Keys before RoPE: as they are they cost nothing; coded, codebooks are trained on such.
run --weights "$data" --text "$text" --windows 2 --window 160 --page 32 --reference double --json \
    --threads 2 --train-windows 8 --tiers kf16p:vf16 --tiers sharp:vi8,kf16p:vf16 \
    --tiers thin:vi8,kf16p:vf16
[ "$code" -eq 0 ] || fail "exit $code"
within 1 -0.001 0.001
within 2 -0.1 0.1
within 3 -0.1 0.1

# With the mean taken off the same tier costs less.
run --weights "$data" --text "$text" --windows 2 --window 160 --page 32 --json --threads 2 \
    --train-windows 8 --tiers low:vi8,kf16:vf16 --book mean
[ "$code" -eq 0 ] || fail "exit $code"
nats 1 | cat - "$work/plain" | awk '{ n[NR] = $1 } END { exit !(NR == 2 && n[1] < n[2]) }' ||
    fail "$(nats 1) is not less than $(cat "$work/plain")"

# Codebooks that were saved are the ones that were trained.
run --weights "$data" --text "$text" --windows 1 --window 64 --page 16 --train-windows 4 --json \
    --tiers good:vi8,kf16:vf16 --save-codebooks "$work/books"
[ "$code" -eq 0 ] || fail "exit $code"
grep nats_per_byte "$work/out" >"$work/trained"
run --weights "$data" --text "$text" --windows 1 --window 64 --page 16 --codebooks "$work/books" \
    --json --tiers good:vi8,kf16:vf16
grep nats_per_byte "$work/out" | cmp -s - "$work/trained" || fail 'loaded codebooks differ'

# A file is for specs that ask for what it holds.
run --weights "$data" --text "$text" --windows 1 --window 64 --page 16 --codebooks "$work/books" \
    --tiers good:vi8,kf16:vf16 --book mean
[ "$code" -eq 2 ] || fail "exit $code"
grep -q 'asks for a mean, the codebook set has none' "$work/err" || fail 'a mean from nowhere'

# ---- what is not there, damaged, or something else -------------------------------
refuse 'No such file' --weights "$work/nowhere" --text "$text"
refuse 'No such file' --weights "$data" --text "$work/nowhere"
refuse 'windows of 1024, not 400' --weights "$data" --text "$text" --windows 400
refuse 'knows 1024 positions' --weights "$data" --text "$text" --window 2048 --windows 1

# A copy of the model with config.json edited by a sed script.
config() {
    rm -rf "$work/model"
    mkdir "$work/model"
    sed "$1" "$data/config.json" >"$work/model/config.json"
    cp "$data/model.safetensors" "$work/model"
}
again() { refuse "$1" --weights "$work/model" --text "$text"; }
for name in hidden_size intermediate_size num_hidden_layers num_attention_heads vocab_size \
    rms_norm_eps max_position_embeddings hidden_act model_type; do
    config "/\"$name\"/d"
    again "$name is missing"
done
config 's/"llama"/"mamba"/'
again 'model_type is not'
config 's/"hidden_size": 256/"hidden_size": 2.5/'
again 'hidden_size must be a whole number'
config 's/"vocab_size": 256/"vocab_size": 32000/'
again 'vocab_size is 32000'
config 's/"attention_bias": false/"attention_bias": true/'
again 'attention_bias is not done'
config 's/"num_hidden_layers": 4/"num_hidden_layers": 5/'
again 'cannot hold'
config 's/"num_hidden_layers": 4/"num_hidden_layers": 1000/'
again 'cannot hold'
config 's/"intermediate_size": 704/"intermediate_size": 700/'
again 'its shape is not \[700, 256\]'
config 's/}//'
again 'not a JSON object'

config ''
head -c 4 "$data/model.safetensors" >"$work/model/model.safetensors"
again 'not a safetensors file'
head -c 2000000 "$data/model.safetensors" >"$work/model/model.safetensors"
again 'cannot hold'
tail -c +2 "$data/model.safetensors" >"$work/model/model.safetensors"
again 'not a safetensors file'
{ # a name that is gone
    head -c 8000 "$data/model.safetensors" | sed 's/q_proj/x_proj/'
    tail -c +8001 "$data/model.safetensors"
} >"$work/model/model.safetensors"
again 'is missing'
head -c -2 "$data/model.safetensors" >"$work/model/model.safetensors"
again 'cannot hold\|not where it says'
rm "$work/model/model.safetensors"
again 'No such file'

[ "$failures" -eq 0 ]
