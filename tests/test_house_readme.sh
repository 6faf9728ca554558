#!/bin/sh
# test_house_readme.sh - what README.md shows is what there is: its C program is
# runtime/examples/minimal.c to the byte, its files and links exist, its commands
# are programs that know every option they are shown with, its tiers are tiers.
#
# The checks are first tried on a README that is wrong in each of these ways:
# one that finds nothing there checks nothing.
set -euf
LC_ALL=C
export LC_ALL
root=${SK_SOURCE_DIR:-$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)}
bin=${SK_BUILD_DIR:-$root/build}/bin
work=$(mktemp -d "${TMPDIR:-/tmp}/sphkv-test-XXXXXX")
trap 'rm -rf "$work"' EXIT
tick='`'

# The first fenced block of a language, as it stands.
block() { # readme, language
    awk -v open="$tick$tick$tick$2" -v shut="$tick$tick$tick" '
        $0 == shut && on { exit }
        on { print }
        $0 == open { on = 1 }' "$1"
}

# Everything between single ticks outside of fences, one piece a line.
spans() { # readme
    awk -v fence="^$tick$tick$tick" -v tick="$tick" '
        $0 ~ fence { fenced = !fenced; next }
        !fenced { n = split($0, part, tick); for (i = 2; i < n; i += 2) print part[i] }' "$1"
}

# Command lines: those of sh blocks, joined where they go on, and the spans.
commands() { # readme
    awk -v open="$tick$tick${tick}sh" -v shut="$tick$tick$tick" '
        $0 == shut { on = 0 }
        on && sub(/\\$/, "") { held = held $0; next }
        on { print held $0; held = "" }
        $0 == open { on = 1 }' "$1"
    spans "$1"
}

check_program() { # readme
    block "$1" c | cmp -s - "$root/runtime/examples/minimal.c" ||
        echo 'the C program is not runtime/examples/minimal.c'
}

check_files() { # readme
    {
        grep -oE '\]\([^)#][^)]*\)' "$1" | sed 's/^](//; s/)$//'
        spans "$1" | grep -E '^(gen|templates|db|runtime|tuner|tests)/[a-z0-9_./-]*$'
    } | while IFS= read -r path; do
        [ -e "$root/$path" ] || echo "no such file: $path"
    done
    # a link to a section: its title in small letters, spaces as hyphens
    sed -n 's/^##* //p' "$1" | tr '[:upper:] ' '[:lower:]-' | tr -cd 'a-z0-9\n-' >"$work/titles"
    grep -oE '\]\(#[^)]*\)' "$1" | sed 's/^](#//; s/)$//' | while IFS= read -r title; do
        grep -qxF -e "$title" "$work/titles" || echo "no such section: $title"
    done
}

# What a program says of itself, asked once.
help_of() { # program
    [ -e "$work/help.$1" ] || "$bin/$1" --help >"$work/help.$1" 2>&1 || :
    cat "$work/help.$1"
}

check_commands() { # readme
    commands "$1" | sed -E 's#^\./run (tune|bench)#sphkv-\1#; s#^build/bin/##' |
        grep -E '^(sphkv-[a-z]+|decode_loop)( |$)' | while read -r name words; do
        case $name in sphkv-eval) continue ;; esac # named as not there yet
        [ -x "$bin/$name" ] || {
            echo "no such program: $name"
            continue
        }
        for word in $words; do
            case $word in --*) ;; *) continue ;; esac
            help_of "$name" | grep -qE -e "(^|[^a-z-])${word%%=*}([^a-z-]|\$)" ||
                echo "$name has no ${word%%=*}"
        done
    done
}

# The first column of the table of tiers: keys, as kf16:vf16, that generate.
check_tiers() { # readme
    sed -n "s/^| $tick\([a-z0-9]*:v[a-z0-9]*\)$tick |.*/\1/p" "$1" | sort -u >"$work/tiers"
    [ -s "$work/tiers" ] || echo 'no tiers in the tables'
    while IFS= read -r tier; do
        "$bin/sphkv-gen" --tiers "$tier" >"$work/out" 2>&1 || echo "no such tier: $tier"
    done <"$work/tiers"
}

check_all() { # readme
    check_program "$1"
    check_files "$1"
    if [ -x "$bin/sphkv-gen" ] && [ -x "$bin/decode_loop" ]; then
        check_commands "$1"
        check_tiers "$1"
    fi
}

sed "s/enum { D = 64/enum { D = 65/" "$root/README.md" >"$work/wrong.md"
cat >>"$work/wrong.md" <<END
[gone](runtime/gone.c) and [a section](#nowhere), ${tick}gen/gone.c${tick},
${tick}sphkv-tune --frobnicate 3${tick}, ${tick}sphkv-gone${tick}
| ${tick}great:vi8${tick} | |
END
check_all "$work/wrong.md" >"$work/found"
status=0
for wanted in 'is not runtime/examples/minimal.c' 'no such file: runtime/gone.c' \
    'no such file: gen/gone.c' 'no such section: nowhere'; do
    grep -qF -e "$wanted" "$work/found" || { echo "the checker does not find: $wanted" >&2; status=1; }
done
if [ -x "$bin/sphkv-gen" ] && [ -x "$bin/decode_loop" ]; then
    for wanted in 'sphkv-tune has no --frobnicate' 'no such program: sphkv-gone' \
        'no such tier: great:vi8'; do
        grep -qF -e "$wanted" "$work/found" || { echo "the checker does not find: $wanted" >&2; status=1; }
    done
fi

check_all "$root/README.md" >"$work/found"
if [ -s "$work/found" ]; then
    sed 's/^/README.md: /' "$work/found" >&2
    status=1
fi
exit $status
