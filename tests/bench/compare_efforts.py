#!/usr/bin/env python3
"""compare_efforts.py - what a short search loses: winners of one effort beside those of another.

Tunes the same kernels and contexts with both, each into a database of its own, one kernel and
context after the other. Then both winners meet the default schedule, in turns, in finals of
effort full (sphkv-tune --keep), and the quotient of the two medians says how much slower the
first one's winner is; who is the default, or the same schedule, is so to the last bit.

    tests/bench/compare_efforts.py --kernels attn_decode,kv_encode --context 4096,32768
    tests/bench/compare_efforts.py --prefix 'taskset -c 1' --second '--effort full --time 20s'
"""
import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time


def tune(args, words, db):
    """The results of one command, and its seconds."""
    command = shlex.split(args.prefix) + [args.bin + "/sphkv-tune", "--quiet", "--json", "--model",
                                          args.model, "--db", db] + words
    began = time.monotonic()
    run = subprocess.run(command, stdout=subprocess.PIPE)
    if run.returncode not in (0, 1):
        sys.exit("%s: exit code %d" % (" ".join(command), run.returncode))
    return json.loads(run.stdout)["results"], time.monotonic() - began


def key(result):
    return result["spec"], json.dumps(result["shape"], sort_keys=True)


def search(args, words, folder, name):
    """Winners of all kernels and contexts."""
    found, seconds = {}, 0
    for kernel in args.kernels.split(","):
        for context in args.context.split(","):
            results, took = tune(args, ["--kernels", kernel, "--context", context] + words,
                                 os.path.join(folder, name + ".db"))
            seconds += took
            for r in results:
                if r["verified"]:
                    found[key(r)] = (kernel, context, r)
    return found, seconds


def gain(args, kernel, context, result, folder):
    """How many times as fast as the default a winner is, in a final of the two."""
    if result["speedup_ci"] == [1, 1]:
        return 1.0
    db = os.path.join(folder, "final.db")
    again, _ = tune(args, ["--kernels", kernel, "--context", context, "--tiers", result["tiers"],
                           "--effort", "full", "--trials", "2", "--fresh", "--keep",
                           result["schedule"]], db)
    for r in again:
        if key(r) == key(result):
            return final_ratio(args, r, result, db)
    sys.exit("%s is not tried again: %s" % (result["spec"], result["schedule"]))


def final_ratio(args, r, wanted, db):
    """The speed-up, also where it was too small to win."""
    if r["schedule"] == wanted["schedule"]:
        return r["speedup"]
    shown = subprocess.run([args.bin + "/sphkv-db", "show", wanted["spec"], "--db", db, "--json"],
                           stdout=subprocess.PIPE, check=True)
    for record in json.loads(shown.stdout):
        for t in record["trials"]:
            if t["schedule"] == wanted["schedule"] and t.get("median_us"):
                return r["default_us"] / t["median_us"]
    return 1.0


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--bin", default="build/bin", help="folder of the programs (build/bin)")
    p.add_argument("--prefix", default="", help="words before each command")
    p.add_argument("--model", default="llama-3.1-8b")
    p.add_argument("--kernels", default="attn_decode,kv_encode,page_gather")
    p.add_argument("--context", default="4096,32768")
    p.add_argument("--first", default="--effort quick")
    p.add_argument("--second", default="--effort full")
    p.add_argument("--finals", type=int, default=3, help="of each winner; the median counts (3)")
    args = p.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        one, short = search(args, shlex.split(args.first), folder, "first")
        two, long = search(args, shlex.split(args.second), folder, "second")
        ratios = []
        print("first: %s, %.0f s; second: %s, %.0f s" % (args.first, short, args.second, long))
        for k in sorted(one.keys() & two.keys()):
            kernel, context, a = one[k]
            b = two[k][2]
            turns = [(gain(args, kernel, context, a, folder), gain(args, kernel, context, b, folder))
                     for _ in range(1 if a["schedule"] == b["schedule"] else args.finals)]
            ratio = 1.0
            if a["schedule"] != b["schedule"]:
                ratio = statistics.median(y / x for x, y in turns)
            ratios.append(ratio)
            print("%.3f  %s %s context %s\n       first  %s (%d trials)\n       second %s (%d trials)" %
                  (ratio, a["kernel"], a["tiers"], context, a["schedule"], a["trials"],
                   b["schedule"], b["trials"]), flush=True)
    if not ratios:
        sys.exit("no winner of both")
    print("time of the first's winner over the second's, %d winners: median %.3f, mean %.3f, worst %.3f"
          % (len(ratios), statistics.median(ratios), statistics.mean(ratios), max(ratios)))


if __name__ == "__main__":
    main()
