#!/usr/bin/env python3
"""How far from the best a search ends: ours beside Kernel Tuner's.

FOLDER holds recorded spaces, each as NAME.T4.json.gz, which sphkv-tune --simulate reads,
and as NAME.kernel-tuner-cache.json.gz, the same space for the simulation mode of the
Python package kernel_tuner; and KERNEL.T1.json (NAME without what follows its last
hyphen) with the constraints of the space. Each strategy of kernel_tuner searches at its
default settings, with no more than N distinct evaluations; regret is the time of the best
it evaluated over the best of the space, less 1; a search that found nothing right counts
as the worst time of the space. Regrets are means over seeds 1 to --seeds.

    python3 -m venv VENV && VENV/bin/pip install kernel_tuner
    VENV/bin/python tests/bench/compare_kernel_tuner.py FOLDER --keep runs.jsonl

A run takes seconds, all of them hours: with --keep they are written as they come, and a
second call goes on where the first one ended. Prints a Markdown table. Exit code: 0 done,
2 usage, 77 when kernel_tuner is not installed.
"""
import argparse
import contextlib
import functools
import gzip
import importlib.util
import io
import json
import os
import random
import subprocess
import sys
import tempfile
import warnings

BUDGETS = (50, 100, 200)
EVERYTHING = "brute_force"  # evaluates all: no search
KEPT = ("time", "compile_time", "verification_time", "benchmark_time", "strategy_time",
        "framework_time", "timestamp")


def say(text):
    print(text, file=sys.stderr, flush=True)


class Space:
    """One recorded space, with its cache unpacked into a temporary folder."""

    def __init__(self, folder, name, into):
        self.name = name
        self.t4 = os.path.join(folder, name + ".T4.json.gz")
        packed = os.path.join(folder, name + ".kernel-tuner-cache.json.gz")
        with gzip.open(packed, "rt") as file:
            head = json.load(file)
        with open(os.path.join(folder, name.rsplit("-", 1)[0] + ".T1.json")) as file:
            conditions = json.load(file)["ConfigurationSpace"]["Conditions"]
        self.restrictions = [c["Expression"] for c in conditions]
        self.params = head["tune_params"]
        self.kernel = head["kernel_name"]
        self.size = tuple(head["problem_size"])
        times = [t for t in (e["time"] for e in head["cache"].values()) if is_time(t)]
        self.best, self.worst = min(times), max(times)
        for key, entry in head["cache"].items():  # what no search looks at is slow to read
            head["cache"][key] = {k: v for k, v in entry.items() if k in KEPT or k in self.params}
            head["cache"][key]["times"] = []
        self.cache = os.path.join(into, name + ".json")
        with open(self.cache, "w") as file:
            json.dump(head, file)


def is_time(value):
    return isinstance(value, (int, float)) and value > 0


def read_once():
    """Caches are read by kernel_tuner in each search anew, most of a search's time: here
    each is read once. Searches copy what they take from it."""
    import kernel_tuner.util

    kernel_tuner.util.read_cache = functools.cache(kernel_tuner.util.read_cache)


def theirs(space, strategy, budget, seed):
    """Regret of one search of kernel_tuner."""
    import numpy
    from kernel_tuner.interface import tune_kernel

    random.seed(seed)
    numpy.random.seed(seed)
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results, _ = tune_kernel(
            space.kernel, "__global__ void %s(float *a) {}" % space.kernel, space.size,
            [numpy.zeros(1, numpy.float32)], space.params, lang="CUDA", cache=space.cache,
            restrictions=space.restrictions, simulation_mode=True, strategy=strategy,
            strategy_options={"max_fevals": budget}, seed=seed, quiet=True)
    distinct = {tuple(r[p] for p in space.params) for r in results}
    if len(distinct) > budget:
        raise RuntimeError("%d evaluations instead of %d" % (len(distinct), budget))
    times = [r["time"] for r in results if is_time(r.get("time"))]
    return (min(times) if times else space.worst) / space.best - 1


def ours(tune, space, budget, seeds):
    """Mean regret of as many searches of sphkv-tune."""
    said = subprocess.run(
        [tune, "--simulate", space.t4, "--strategy", "auto", "--trials", str(budget), "--seeds",
         str(seeds), "--json"], check=True, capture_output=True, text=True)
    runs = json.loads(said.stdout)
    regrets = [r["regret"] for r in runs.get("runs", [runs])]
    most = space.worst / space.best - 1
    return sum(most if r is None else r for r in regrets) / len(regrets)


def strategies(asked):
    from kernel_tuner.interface import strategy_map

    unknown = [s for s in asked if s not in strategy_map]
    if unknown:
        sys.exit("kernel_tuner has no strategy '%s'" % unknown[0])
    return asked or [s for s in strategy_map if s != EVERYTHING]


class Runs:
    """Regrets by (strategy, space, budget, seed), kept in a file when there is one."""

    def __init__(self, path):
        self.regret = {}
        self.refused = {}  # strategy: why
        self.path = path
        if path and os.path.exists(path):
            with open(path) as file:
                for line in file:
                    run = json.loads(line)
                    self.regret[tuple(run[:4])] = run[4]

    def add(self, key, regret):
        self.regret[key] = regret
        if self.path:
            with open(self.path, "a") as file:
                file.write(json.dumps([*key, regret]) + "\n")

    def do(self, space, strategy, budget, seed):
        key = (strategy, space.name, budget, seed)
        if key in self.regret or strategy in self.refused:
            return
        try:
            self.add(key, theirs(space, strategy, budget, seed))
        except Exception as why:  # a strategy whose package is missing, or that fails
            self.refused[strategy] = "%s: %s" % (type(why).__name__, str(why).split("\n")[0][:120])
            say("%s: %s" % (strategy, self.refused[strategy]))

    def whole_seeds(self, names, spaces, most):
        """Seeds from 1 on of which every run is there."""
        for seed in range(1, most + 1):
            if any((s, p.name, b, seed) not in self.regret
                   for s in names for p in spaces for b in BUDGETS):
                return seed - 1
        return most


def table(runs, names, spaces, seeds, tune):
    columns = [(p, b) for p in spaces for b in BUDGETS]
    mine = {c: ours(tune, c[0], c[1], seeds) for c in columns}
    rows = [("**sphkv-tune, auto**", [mine[c] for c in columns])]
    for name in names:
        means = [sum(runs.regret[name, p.name, b, s] for s in range(1, seeds + 1)) / seeds
                 for p, b in columns]
        rows.append(("`%s`" % name, means))
    rows[1:] = sorted(rows[1:], key=lambda row: sum(row[1]))
    print("Mean regret in %%, %d seeds; in bold what is below ours.\n" % seeds)
    print("| strategy | " + " | ".join("%s, %d" % (p.name, b) for p, b in columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for name, means in rows:
        cells = []
        for mean, c in zip(means, columns):
            below = mean < mine[c] and name[0] == "`"
            cells.append(("**%.2f**" if below else "%.2f") % (100 * mean))
        print("| %s | %s |" % (name, " | ".join(cells)))
    for name, why in sorted(runs.refused.items()):
        print("\n`%s` did not run: %s" % (name, why))


def main():
    words = argparse.ArgumentParser(description=__doc__,
                                    formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("folder", metavar="FOLDER", help="where the recorded spaces lie")
    words.add_argument("--seeds", type=int, default=50, metavar="N")
    words.add_argument("--keep", metavar="FILE", help="keep runs in it, and go on from it")
    words.add_argument("--strategies", default="", metavar="LIST", help="of kernel_tuner (all)")
    words.add_argument("--tune", default=os.path.join(os.path.dirname(__file__), "..", "..",
                                                      "build", "bin", "sphkv-tune"),
                       metavar="PROGRAM", help="sphkv-tune (build/bin/sphkv-tune)")
    asked = words.parse_args()
    if importlib.util.find_spec("kernel_tuner") is None:
        print("skipped: the Python package kernel_tuner is not installed "
              "(python3 -m venv VENV && VENV/bin/pip install kernel_tuner)")
        return 77
    end = ".kernel-tuner-cache.json.gz"
    found = sorted(f[:-len(end)] for f in os.listdir(asked.folder) if f.endswith(end))
    if not found:
        words.error("no %s in %s" % (end, asked.folder))
    names = strategies([s for s in asked.strategies.split(",") if s])
    runs = Runs(asked.keep)
    read_once()
    with tempfile.TemporaryDirectory() as into:
        spaces = [Space(asked.folder, name, into) for name in found]
        for seed in range(1, asked.seeds + 1):
            for space in spaces:
                for budget in BUDGETS:
                    for name in names:
                        runs.do(space, name, budget, seed)
            say("seed %d of %d" % (seed, asked.seeds))
        names = [n for n in names if n not in runs.refused]
        table(runs, names, spaces, runs.whole_seeds(names, spaces, asked.seeds), asked.tune)
    return 0


if __name__ == "__main__":
    sys.exit(main())
