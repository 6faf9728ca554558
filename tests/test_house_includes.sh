#!/bin/sh
# test_house_includes.sh - who may include whom, checked on every #include.
#
# The floors, from the ground: gen; on it templates and db (db sees base.h,
# spec.h, schedule.h of gen only); then runtime; on top tuner. sphkv.h is for
# all. Only db/ sees sqlite3.h, only the LLVM emitter and its module see llvm-c,
# nobody sees CUDA, examples see sphkv.h alone, and no files include each other
# in a circle. Includes are by bare file name, so a name stands for one file.
#
# The checker is first tried on a small tree that breaks every rule once: a rule
# that finds nothing there is not checked.
set -eu
LC_ALL=C
export LC_ALL
source_dir=${SK_SOURCE_DIR:-$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)}

# All includes of a tree: file, form (<> or ""), name; one line each.
list_includes() { # tree
    (
        cd "$1" || exit
        find gen templates db runtime tuner tests -type f \( -name '*.[ch]' -o -name '*.inc' \
            -o -name '*.def' -o -name '*.cu' -o -name '*.cuh' \) \
            -exec grep -HE '^[[:space:]]*#[[:space:]]*include[[:space:]]*[<"]' {} + || :
    ) | sed -E 's/^([^:]*):[[:space:]]*#[[:space:]]*include[[:space:]]*([<"])([^>"]*)[>"].*/\1 \2 \3/'
}

# Broken rules, one per line; nothing when all is well.
broken_rules() { # tree
    (cd "$1" && find gen templates db runtime tuner tests -type f -name '*.*') | sort >"$work/files"
    list_includes "$1" >"$work/includes"
    awk -v edges="$work/edges" '
        function floor_of(path) {
            if (path == "runtime/include/sphkv.h") return "public"
            if (path ~ /^runtime\/examples\//) return "examples"
            return substr(path, 1, index(path, "/") - 1)
        }
        function bare(path) { sub(/.*\//, "", path); return path }
        function broken(why) { print $1 ": " $2 $3 ": " why }
        BEGIN {
            may["gen"] = " gen public "
            may["templates"] = " gen templates public "
            may["db"] = " db public "
            may["runtime"] = " gen templates db runtime public "
            may["examples"] = " examples public "
            may["tuner"] = " gen templates db runtime tuner public "
            may["tests"] = " gen templates db runtime tuner tests public "
            may["public"] = " "
            allowed["db", "base.h"] = allowed["db", "spec.h"] = allowed["db", "schedule.h"] = 1
        }
        FILENAME ~ /files$/ { # headers and other texts that can be included
            name = bare($1)
            if (name ~ /\.c$/) next
            if (name in where) {
                if (name ~ /\.h$/) print $1 ": a second " name " beside " where[name]
                next
            }
            where[name] = $1
            if (name ~ /\.(sql|cuh|cu)$/) { # compiled in by way of the build
                made = name ".inc"; sub(/\./, "_", made); where[made] = $1
            }
            next
        }
        $2 == "<" {
            if ($3 ~ /(^|\/)sqlite3.*\.h$/ && $1 !~ /^db\//) broken("SQLite is seen by db/ only")
            if ($3 ~ /^llvm(-c)?\// && $1 !~ /^(gen\/emit_llvm|runtime\/jit_llvm)[^\/]*\.c$/)
                broken("LLVM is seen by its emitter and its module only")
            if ($3 ~ /^(cuda|cu|nvrtc|cooperative_groups|mma)[^\/]*(\.h|\.hpp|\/.*)?$/ && $3 !~ /^curses/)
                broken("CUDA headers are seen by nobody")
            if (bare($3) in where) broken("our own headers are included with quotes")
            next
        }
        {
            if ($3 ~ /\//) { broken("include by bare file name"); next }
            if (!($3 in where)) { broken("no such file in the tree"); next }
            from = floor_of($1); to = floor_of(where[$3])
            if (index(may[from], " " to " ") == 0 && !((from, $3) in allowed))
                broken(from "/ may not see " where[$3])
            if ($1 == where[$3]) broken("includes itself")
            print $1, where[$3] > edges
        }' "$work/files" "$work/includes"
    [ ! -f "$work/edges" ] || tsort "$work/edges" 2>&1 >/dev/null | sed 's/.*contains a loop.*/in a circle:/; s/^tsort: //'
    rm -f "$work/edges"
}

put() { # file, include lines ...
    path=$work/bad/$1
    mkdir -p "${path%/*}"
    shift
    printf '#include %s\n' "$@" >"$path"
}

# A tree with every rule broken once; what must be found stands in `wanted`.
break_every_rule() {
    put runtime/include/sphkv.h '<stddef.h>'
    put gen/base.h '"sphkv.h"'
    put gen/spec.h '"base.h"' '"ring_a.h"'
    put gen/ir.h '"base.h"'
    put gen/ring_a.h '"ring_b.h"'
    put gen/ring_b.h '"ring_a.h"'
    put gen/up.c '"kernel.h"'
    put gen/emit_llvm.c '<llvm-c/Core.h>'
    put gen/emit_cuda.c '<llvm-c/Core.h>'
    put gen/gone.c '"nowhere.h"'
    put templates/kernel.h '"ir.h"' '"base.h"'
    put templates/up.c '"registry.h"'
    put templates/cuda.c '<cuda_runtime.h>'
    put db/schema.sql
    put db/db.h '"base.h"' '"spec.h"' '<sqlite3.h>' '"schema_sql.inc"'
    put db/wide.c '"ir.h"'
    put runtime/registry.h '"db.h"' '"kernel.h"' '"spec.h"'
    put runtime/up.c '"search.h"'
    put runtime/store.c '<sqlite3.h>'
    put runtime/examples/nosy.c '"sphkv.h"' '"base.h"'
    put tuner/search.h '"registry.h"'
    put tuner/kernel.h '"base.h"'
    put tuner/commands/tune.c '"../search.h"'
    put tests/test_a.c '<base.h>' '"search.h"'
}

wanted='db/wide.c: "ir.h
gen/emit_cuda.c: <llvm-c/Core.h
gen/gone.c: "nowhere.h
gen/up.c: "kernel.h
in a circle
runtime/examples/nosy.c: "base.h
runtime/store.c: <sqlite3.h
runtime/up.c: "search.h
templates/cuda.c: <cuda_runtime.h
templates/up.c: "registry.h
tests/test_a.c: <base.h
tuner/commands/tune.c: "../search.h
a second kernel.h'

work=$(mktemp -d "${TMPDIR:-/tmp}/sphkv-test-XXXXXX")
trap 'rm -rf "$work"' EXIT
status=0

break_every_rule
broken_rules "$work/bad" >"$work/found"
printf '%s\n' "$wanted" | while IFS= read -r line; do
    grep -qF -e "$line" "$work/found" || printf 'the checker does not find: %s\n' "$line"
done >"$work/blind"
# nothing else is found: the two files of the circle come as lines of their own
others=$(grep -cvE 'in a circle|^gen/ring_[ab]\.h$' "$work/found") || :
[ "$others" -eq 12 ] || printf 'the checker finds %s breaches, not 12:\n%s\n' \
    "$others" "$(cat "$work/found")" >>"$work/blind"
if [ -s "$work/blind" ]; then
    cat "$work/blind" >&2
    status=1
fi

broken_rules "$source_dir" >"$work/found"
if [ -s "$work/found" ]; then
    cat "$work/found" >&2
    status=1
fi
printf '%s includes checked\n' "$(wc -l <"$work/includes")"
exit $status
