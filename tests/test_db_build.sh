#!/bin/sh
# sphkv-db build: usage and its codes, no compiler, and with NVRTC: a database for
# two architectures, found again, marked as predicted, whole after an interruption.
set -u
bin=$SK_BUILD_DIR/bin
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

fail() {
    echo "FAILED: $*"
    failed=1
}

# code, words that stderr must hold, options
refuse() {
    code=$1 words=$2
    shift 2
    "$bin/sphkv-db" build "$@" >"$work/out" 2>"$work/err"
    status=$?
    [ "$status" -eq "$code" ] || fail "build $*: exit $status, not $code"
    grep -q -e "$words" "$work/err" || fail "build $*: no '$words' in: $(cat "$work/err")"
    [ ! -s "$work/out" ] || fail "build $*: something on stdout"
}

spec='--head-dim 32 --heads-per-kv 2 --kv-heads 1 --page 32 --tiers good:vi8 --context 1024 --batch 1'
refuse 2 '--arch' --db "$work/a.db" --head-dim 64
refuse 2 '--db' --arch sm_90 --head-dim 64
refuse 2 'which specs' --arch sm_90 --db "$work/a.db"
refuse 2 "'sm_x'" --arch sm_x --db "$work/a.db" --head-dim 64
refuse 2 'comma' --arch sm_90, --db "$work/a.db" --head-dim 64
refuse 2 'twice' --arch sm_90,sm_90 --db "$work/a.db" --head-dim 64
refuse 1 '6.1\|61' --arch sm_61 --db "$work/a.db" --head-dim 64
refuse 2 'nosuch' --arch sm_90 --db "$work/a.db" --model nosuch
refuse 2 '--keep' --arch sm_90 --db "$work/a.db" --head-dim 64 --keep 9
[ ! -e "$work/a.db" ] || fail "a refused command made a database"
SPHKV_NVRTC=$work/none.so refuse 3 'none.so' --arch sm_90 --db "$work/a.db" --head-dim 64
"$bin/sphkv-db" build --help | grep -q -e --arch || fail 'no help'

# shellcheck disable=SC2086
"$bin/sphkv-db" build $spec --arch sm_80,sm_90 --db "$work/g.db" --json >"$work/g.json" 2>"$work/err"
status=$?
if [ "$status" -eq 3 ]; then
    [ "$failed" -eq 0 ] || exit 1
    echo "skipped: $(cat "$work/err")"
    exit 77
fi
[ "$status" -eq 0 ] || fail "build: exit $status: $(cat "$work/err")"
[ "$(grep -o '"state":"built"' "$work/g.json" | wc -l)" -eq 2 ] || fail "not two cards: $(cat "$work/g.json")"
"$bin/sphkv-db" ls --db "$work/g.db" --json >"$work/ls.json" || fail 'ls'
for arch in sm_80 sm_90 compute_80 compute_90; do
    grep -q "\"$arch\"" "$work/ls.json" || fail "no record of $arch"
done
grep -q '"predict"' "$work/ls.json" || fail 'not marked as predicted'

# again: everything is found, and nothing compiled
# shellcheck disable=SC2086
"$bin/sphkv-db" build $spec --arch sm_80,sm_90 --db "$work/g.db" --json 2>/dev/null >"$work/again.json"
[ "$(grep -o '"state":"found"' "$work/again.json" | wc -l)" -eq 2 ] || fail 'built again what was there'

# what is for one capability alone leaves that of later ones as it was
# shellcheck disable=SC2086
"$bin/sphkv-db" build $spec --arch sm_90a --db "$work/g.db" >/dev/null 2>"$work/err" || fail "sm_90a: $(cat "$work/err")"
"$bin/sphkv-db" ls --db "$work/g.db" --json >"$work/both.json" || fail 'ls'
for arch in compute_90 compute_90a; do
    grep -q "\"$arch\"" "$work/both.json" || fail "no record of $arch beside sm_90a"
done

# interrupted, then the rest
# shellcheck disable=SC2086
"$bin/sphkv-db" build $spec --arch sm_75,sm_86 --kernels attn_decode,page_gather \
    --db "$work/g.db" >/dev/null 2>&1 &
job=$!
sleep 1
kill -INT "$job" 2>/dev/null
wait "$job"
status=$?
[ "$status" -eq 130 ] || [ "$status" -eq 0 ] || fail "interrupted: exit $status"
# shellcheck disable=SC2086
"$bin/sphkv-db" build $spec --arch sm_75,sm_86 --kernels attn_decode,page_gather \
    --db "$work/g.db" --json >"$work/rest.json" 2>"$work/err" || fail "the rest: $(cat "$work/err")"
[ "$(grep -o '"state":"[bf][uo][iu][ln][td]"' "$work/rest.json" | wc -l)" -eq 4 ] || fail 'not all four'
exit "$failed"
