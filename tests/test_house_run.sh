#!/bin/sh
# test_house_run.sh - the promises of ./run, on machines that are made up: a
# copy of the script, a PATH with nothing but a few plain tools and stand-ins
# for the package manager, the build and the programs. Each case says which
# machine, what was asked, the exit code and what must be seen.
set -eu
source_dir=${SK_SOURCE_DIR:-$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)}
work=$(mktemp -d "${TMPDIR:-/tmp}/sphkv-test-XXXXXX")
trap 'rm -rf "$work"' EXIT
failures=0

# A new machine: an empty PATH folder with the plain tools, a copy of the tree's
# door, no build.
machine() {
    rm -rf "${work:?}/bin" "$work/tree"
    mkdir -p "$work/bin" "$work/tree"
    cp "$source_dir/run" "$work/tree/run"
    : >"$work/calls"
    for tool in sh cat dirname env mkdir tail; do
        ln -s "$(command -v $tool)" "$work/bin/$tool"
    done
    stand_in id 'echo 1000'
}

stand_in() { # tool, body
    printf '#!/bin/sh\necho "%s $*" >>"%s"\n%s\n' "$1" "$work/calls" "$2" >"$work/bin/$1"
    chmod +x "$work/bin/$1"
}

has_tools() {
    for tool in cmake ninja cc; do stand_in $tool :; done
    stand_in ctest 'exit 8'
}

# Debian, where dpkg-query knows what the file `installed` lists; installing
# adds to it, but llvm-19-dev only when there is one.
debian() {
    : >"$work/installed"
    # shellcheck disable=SC2016 # the stand-in expands them
    stand_in dpkg-query 'for last; do :; done
while read -r name; do [ "$name" = "$last" ] && printf "install ok installed"; done <'"$work/installed"'
exit 1'
    # shellcheck disable=SC2016
    stand_in apt-get 'case "$*" in *llvm-19-dev*) '"$1"' ;; esac
for word; do case $word in -* | update | install) ;; *) echo "$word" >>'"$work/installed"' ;; esac; done'
}

# Runs it; checks the exit code.
ask() { # wanted code, arguments ...
    wanted=$1
    shift
    asked=$*
    code=0
    PATH=$work/bin TERM=dumb "$work/tree/run" "$@" >"$work/out" 2>"$work/err" </dev/null ||
        code=$?
    [ "$code" -eq "$wanted" ] || bad "exit code $code, not $wanted"
}

bad() {
    failures=$((failures + 1))
    printf './run %s: %s\n' "$asked" "$*" >&2
    sed 's/^/    /' "$work/err" >&2
}

sees() { # file, text
    grep -qF -e "$2" "$work/$1" || bad "no '$2' in $1"
}

sh -n "$source_dir/run"

machine # what needs no machine at all
ask 0 help
sees out 'usage: ./run'
ask 0
ask 2 nonsense
sees err 'no such command: nonsense'
[ ! -s "$work/out" ] || bad 'messages on stdout'

machine # not Debian, nothing there
ask 3 build
sees err 'cmake ninja a-C-compiler'
[ "$(wc -l <"$work/err")" -eq 1 ] || bad 'more than one line'

machine # not Debian, all there: arguments and exit codes pass through
has_tools
ask 8 test -R 'a b'
sees calls 'ctest --test-dir'
sees calls '-j2 -R a b'
[ ! -s "$work/out" ] || bad 'messages on stdout'
ask 1 tune # built, yet no such program
mkdir -p "$work/tree/build/bin"
printf '#!/bin/sh\necho "result $*"\nexit 5\n' >"$work/tree/build/bin/sphkv-tune"
printf '#!/bin/sh\nkill -TERM $$\n' >"$work/tree/build/bin/sphkv-bench"
chmod +x "$work/tree/build/bin/sphkv-tune" "$work/tree/build/bin/sphkv-bench"
ask 5 tune --time 60s
[ "$(cat "$work/out")" = 'result --time 60s' ] || bad 'stdout is not the result alone'
ask 143 bench

machine # chance: two shards of all four tests; a failure counts, a skip does not
has_tools
ask 2 random --cases
sees err '--cases takes a value'
ask 2 random --no-such
sees err 'no such option: --no-such'
ask 1 random # not built
mkdir -p "$work/tree/build/bin"
for name in cpu_random kernel_random simt_random simt_sample; do
    printf '#!/bin/sh\necho "%s $SK_SHARD $SK_CASES $SK_TEST_SEED"\n%s\n' ${name%_random} \
        "[ $name = cpu_random ] && exit 77; [ \"\$SK_SHARD\" != 1/3 ]" \
        >"$work/tree/build/bin/test_$name"
    chmod +x "$work/tree/build/bin/test_$name"
done
ask 0 random --seed 5 --programs 30
for shard in 0/2 1/2; do
    sees out "cpu $shard 30 5"
    sees out "kernel $shard 20000 5"
    sees out "simt $shard 4 5"
    sees out "simt_sample $shard 313 5"
done
ask 1 random --shard 1/3 --seed 5 --cases 7
sees out 'kernel 1/3 7 5'
if grep -qF 0/2 "$work/out"; then bad 'the other shard, too'; fi
for tool in rm sort head; do ln -s "$(command -v $tool)" "$work/bin/$tool"; done
ask 2 archs --programs 3
sees err 'no such option: --programs'
ask 1 archs # not built
printf '#!/bin/sh\necho "archs $SK_SHARD $SK_CASES"\n%s\n' \
    '[ "$SK_CASES" = 7 ] && exit 77; printf "head\n--\n%s\n" "$SK_SHARD" >"$SK_TABLE"' \
    >"$work/tree/build/bin/test_code_archs"
chmod +x "$work/tree/build/bin/test_code_archs"
ask 0 archs
[ "$(cat "$work/out")" = "$(printf 'head\n--\n0/2\n1/2')" ] || bad 'no table, or more'
ask 3 archs --cases 7 # nothing to compile with, and no table of the time before
[ ! -s "$work/out" ] || bad 'a table'

machine # a build that fails: its end is shown
has_tools
# shellcheck disable=SC2016
stand_in cmake 'case "$*" in --build*) echo "gen/x.c:1: error: no"; exit 1 ;; esac'
ask 1 tune
sees err 'gen/x.c:1: error: no'

machine # Debian, nothing there, no rights
debian :
ask 3 build
sees err 'sudo apt-get install gcc libc6-dev cmake'
if grep -q '^apt-get' "$work/calls"; then bad 'apt-get without rights'; fi

machine # Debian, all but packages' names there, no rights: goes on
debian :
has_tools
ask 0 build
sees err 'going on without'

machine # Debian as root: installs what is missing, after an update
debian :
has_tools
stand_in id 'echo 0'
ask 0 build
sees calls 'apt-get -q update'
sees calls 'apt-get -q -y --no-install-recommends install gcc'
ask 0 build
[ "$(grep -c '^apt-get' "$work/calls")" -eq 2 ] || bad 'installed a second time'

machine # an older Debian by sudo: no LLVM 19, the rest is installed
debian 'exit 100'
has_tools
# shellcheck disable=SC2016
stand_in sudo 'shift; [ "$*" = true ] || exec "$@"'
ask 0 build
sees err 'trying without'
sees installed libcjson-dev
if grep -q llvm "$work/installed"; then bad 'llvm came from nowhere'; fi
: >"$work/calls"
ask 0 build
if grep -q '^apt-get' "$work/calls"; then bad 'asked again for what there is not'; fi

exit $((failures > 0))
