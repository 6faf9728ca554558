#!/bin/sh
# test_house_readme.sh - what README.md and the other *.md of the tree show is what there
# is: the C program is runtime/examples/minimal.c to the byte, files, links and sections
# exist, commands are programs that know every option they are shown with, tiers, tunables,
# variables and functions are such, and each page can be reached from another. Figures that
# README.md repeats are those of the pages that it takes them from.
#
# The checks are first tried on pages that are wrong in each of these ways: one that finds
# nothing there checks nothing.
set -euf
LC_ALL=C
export LC_ALL
root=${SK_SOURCE_DIR:-$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)}
bin=${SK_BUILD_DIR:-$root/build}/bin
work=$(mktemp -d "${TMPDIR:-/tmp}/sphkv-test-XXXXXX")
trap 'rm -rf "$work"' EXIT
tick='`'

# The first fenced block of a language, as it stands.
block() { # page, language
    awk -v open="$tick$tick$tick$2" -v shut="$tick$tick$tick" '
        $0 == shut && on { exit }
        on { print }
        $0 == open { on = 1 }' "$1"
}

# Everything between single ticks outside of fences, one piece a line.
spans() { # page
    awk -v fence="^$tick$tick$tick" -v tick="$tick" '
        $0 ~ fence { fenced = !fenced; next }
        !fenced { n = split($0, part, tick); for (i = 2; i < n; i += 2) print part[i] }' "$1"
}

# Command lines: those of sh blocks, joined where they go on, and the spans.
commands() { # page
    awk -v open="$tick$tick${tick}sh" -v shut="$tick$tick$tick" '
        $0 == shut { on = 0 }
        on && sub(/\\$/, "") { held = held $0; next }
        on { print held $0; held = "" }
        $0 == open { on = 1 }' "$1" | sed 's/  *# .*//'
    spans "$1"
}

# Where links go.
links() { # page
    grep -oE '\]\([^)]*\)' "$1" | sed 's/^](//; s/)$//' || :
}

# Its sections as links call them: titles in small letters, spaces as hyphens.
sections() { # page
    sed -n 's/^##* //p' "$1" | tr '[:upper:] ' '[:lower:]-' | tr -cd 'a-z0-9\n_-'
}

check_program() { # page
    block "$1" c | cmp -s - "$root/runtime/examples/minimal.c" ||
        echo 'the C program is not runtime/examples/minimal.c'
}

check_links() { # page, its folder
    links "$1" | while IFS= read -r link; do
        to=$1
        case $link in '#'*) ;; *) to=$root/$2${link%%#*} ;; esac
        if [ ! -e "$to" ]; then
            echo "no such file: $2${link%%#*}"
        else
            case $link in
            *'#'*) sections "$to" | grep -qxF -e "${link#*#}" || echo "no such section: $link" ;;
            esac
        fi
    done
    spans "$1" | grep -E '^(gen|templates|db|runtime|tuner|tests)/[a-z0-9_./-]*$' |
        while IFS= read -r path; do
            [ -e "$root/$path" ] || echo "no such file: $path"
        done
}

# Variables and macros that sources know, functions and types that the header declares.
check_names() { # page
    spans "$1" | grep -E '^SPHKV_[A-Z_]+$' | while IFS= read -r name; do
        grep -rqw -e "$name" "$root/gen" "$root/db" "$root/runtime" "$root/tuner" ||
            echo "nothing knows $name"
    done
    spans "$1" | sed -n 's/^\(sphkv_[a-z_]*\)\((.*\)*$/\1/p' | while IFS= read -r name; do
        grep -qw -e "$name" "$root/runtime/include/sphkv.h" || echo "not in sphkv.h: $name"
    done
}

# What a program says of itself, asked once.
help_of() { # program
    if [ ! -e "$work/help.$1" ]; then
        case $1 in
        run) "$root/run" help && "$root/run" gpu --help && "$root/run" arm --help ;;
        sphkv-db)
            for job in build merge export; do "$bin/$1" "$job" --help; done
            "$bin/$1" --help
            ;;
        *) "$bin/$1" --help ;;
        esac >"$work/help.$1" 2>&1 || :
    fi
    cat "$work/help.$1"
}

check_options() { # program, words ...
    name=$1
    shift
    for word in "$@"; do
        case $word in --*) ;; *) continue ;; esac
        help_of "$name" | grep -qE -e "(^|[^a-z-])${word%%=*}([^a-z-]|\$)" ||
            echo "$name has no ${word%%=*}"
    done
}

check_commands() { # page
    commands "$1" | sed -E 's#^\./run (tune|bench)#sphkv-\1#; s#^build/bin/##; s#^\./run#run#' |
        grep -E '^(sphkv-[a-z]+|decode_loop|run [a-z]+)( |$)' | while read -r name words; do
        case $name in
        sphkv-eval) continue ;; # named as not there yet
        run)
            help_of run | grep -qE -e "^  ${words%% *}( |\$)" || echo "no such job: run $words"
            ;;
        *)
            [ -x "$bin/$name" ] || {
                echo "no such program: $name"
                continue
            }
            ;;
        esac
        # shellcheck disable=SC2086
        check_options "$name" $words
    done
}

# The first column of tables of tiers: keys, as kf16:vf16, that generate.
check_tiers() { # page
    touch "$work/good"
    sed -n "s/^| $tick\([a-z0-9]*:v[a-z0-9]*\)$tick |.*/\1/p" "$1" | sort -u |
        grep -vxFf "$work/good" | while IFS= read -r tier; do
        if "$bin/sphkv-gen" --tiers "$tier" >"$work/out" 2>&1; then
            echo "$tier" >>"$work/good"
        else
            echo "no such tier: $tier"
        fi
    done
}

# Values of tunables, as search=dots or w=16,lut=perm, where the name is one.
check_tunables() { # page
    "$bin/sphkv-gen" --list | awk '/^  [a-z]/ { n = split($2, value, "|")
        for (i = 1; i <= n; i++) print $1 "=" value[i] }' | sort -u >"$work/values"
    spans "$1" | grep -E '^[a-z_]+=[a-z0-9]+(,[a-z_]+=[a-z0-9]+)*$' | tr , '\n' |
        grep -vxFf "$work/values" | sed 's/^/no tunable has: /' || :
}

check_page() { # page, its folder ("" or with / at its end)
    check_links "$1" "$2"
    check_names "$1"
    if [ -x "$bin/sphkv-gen" ] && [ -x "$bin/decode_loop" ]; then
        check_commands "$1"
        check_tiers "$1"
        check_tunables "$1"
    fi
}

# README's table of speed takes columns from two other pages: rows of the tables of those,
# as README has to show them.
check_figures() { # README
    awk -F ' *[|] *' '
        FNR == 1 { page++ }
        page == 1 && /^\| .*: *v/ && NF == 5 + 2 { nats[$2] = $4 }
        page == 2 && /^\| .*: *v/ && NF == 12 + 2 {
            row[$2] = $3 "|" $4 "|" $8 "|" $9 "|" $10 "|" $13
        }
        page == 3 && /^\| .*: *v/ && NF == 8 + 2 {
            met++
            if (row[$2] != $3 "|" $4 "|" $5 "|" $6 "|" $7 "|" $8)
                print "speed of " $2 ": not that of tests/bench/cpu.md"
            if ($9 != "" && $9 != nats[$2])
                print "nats per byte of " $2 ": not those of tests/data/tiny-lm/README.md"
        }
        END { if (!met) print "no table of speed" }' \
        "$root/tests/data/tiny-lm/README.md" "$root/tests/bench/cpu.md" "$1"
}

# Pages, README.md aside, to which no other one links.
check_reached() { # file with the pages, one a line
    while IFS= read -r page; do
        folder=$(dirname "$page")
        links "$root/$page" | grep -v '^#' | sed 's/#.*//' | while IFS= read -r link; do
            (cd "$root" && readlink -f "$folder/$link")
        done
    done <"$1" | sort -u >"$work/reached"
    grep -vx README.md "$1" | while IFS= read -r page; do
        grep -qxF -e "$(readlink -f "$root/$page")" "$work/reached" || echo "nothing links to $page"
    done
}

# ---- the checks, checked -------------------------------------------------------------

sed 's/enum { D = 64/enum { D = 65/
    s/^\(| .kf16:vf16. | [0-9]* | \)[0-9.]* |\(.*|.*|.*|.*|.*|\)$/\19999 |\2/
    s/| [0-9.]* |$/| 8888 |/' "$root/README.md" >"$work/wrong.md"
cat >>"$work/wrong.md" <<END
[gone](runtime/gone.c), [a section](#nowhere), [and there](db/README.md#elsewhere),
${tick}gen/gone.c${tick}, ${tick}sphkv-tune --frobnicate 3${tick}, ${tick}sphkv-gone${tick},
${tick}./run away${tick}, ${tick}./run archs --gone${tick}, ${tick}SPHKV_GONE${tick},
${tick}sphkv_gone${tick}, ${tick}w=16,lut=gone${tick}
| ${tick}great:vi8${tick} | |
END
echo "[up](../gen/gone.h)" >"$work/below.md"
echo tests/bench/kernel_tuner.md >"$work/pages"
{
    check_program "$work/wrong.md"
    check_page "$work/wrong.md" ''
    check_page "$work/below.md" runtime/
    check_figures "$work/wrong.md"
    check_reached "$work/pages"
} >"$work/found"
status=0
wanted() { # what should have been found
    grep -qxF -e "$1" "$work/found" || {
        echo "the checker does not find: $1" >&2
        status=1
    }
}
wanted 'the C program is not runtime/examples/minimal.c'
wanted 'no such file: runtime/gone.c'
wanted 'no such file: gen/gone.c'
wanted 'no such file: runtime/../gen/gone.h'
wanted 'no such section: #nowhere'
wanted 'no such section: db/README.md#elsewhere'
wanted 'nothing knows SPHKV_GONE'
wanted 'not in sphkv.h: sphkv_gone'
wanted "speed of ${tick}kf16:vf16${tick}: not that of tests/bench/cpu.md"
wanted "nats per byte of ${tick}good:vi8${tick}: not those of tests/data/tiny-lm/README.md"
wanted 'nothing links to tests/bench/kernel_tuner.md'
if [ -x "$bin/sphkv-gen" ] && [ -x "$bin/decode_loop" ]; then
    wanted 'sphkv-tune has no --frobnicate'
    wanted 'no such program: sphkv-gone'
    wanted 'no such job: run away'
    wanted 'run has no --gone'
    wanted 'no such tier: great:vi8'
    wanted 'no tunable has: lut=gone'
fi

# ---- the pages -----------------------------------------------------------------------

(cd "$root" && find . \( -name 'build*' -o -name '.?*' \) -prune -o -name '*.md' -print) |
    sed 's#^\./##' | sort >"$work/pages"
{
    check_program "$root/README.md" | sed 's/^/README.md: /'
    check_figures "$root/README.md" | sed 's/^/README.md: /'
    check_reached "$work/pages"
    while IFS= read -r page; do
        folder=$(dirname "$page")/
        check_page "$root/$page" "${folder#./}" | sed "s#^#$page: #"
    done <"$work/pages"
} >"$work/found"
if [ -s "$work/found" ]; then
    cat "$work/found" >&2
    status=1
fi
exit $status
