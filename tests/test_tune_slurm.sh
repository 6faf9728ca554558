#!/bin/sh
# A search dealt to a real job array: a Slurm of one node, started and stopped here, runs
# tuner/cluster/tune-array.sh, and the parts are merged. The same script as a task of a
# Kubernetes Indexed Job, whose variables it is given; and the manifest names them.
set -u
bin=$SK_BUILD_DIR/bin
cluster=$SK_SOURCE_DIR/tuner/cluster
work=$(mktemp -d)
pids=''
failed=0

stop_all() {
    for pid in $pids; do kill "$pid" 2>/dev/null; done
    for pid in $pids; do wait "$pid" 2>/dev/null; done
    rm -rf "$work"
}
trap stop_all EXIT

fail() {
    echo "FAILED: $*"
    failed=1
}

skip() {
    [ "$failed" -eq 0 ] || exit 1
    echo "skipped: $*"
    exit 77
}

for program in sphkv-tune sphkv-db; do
    [ -x "$bin/$program" ] || skip "$program is not built"
done
[ -r "$SK_BUILD_DIR/lib/sphkv_llvm.so" ] || skip 'there is no compiler module'

options='--kernels kv_append,page_gather --quiet --effort quick --trials 1 --head-dim 16
    --heads 1 --kv-heads 1 --page 16 --context 16 --tiers kf16:vf16'
export SPHKV_TUNE="$bin/sphkv-tune"

# folder: the two parts that lie in it, merged, are two winners
merged() {
    [ "$(ls "$1" | tr '\n' ' ')" = 'kernels.1-of-2.db kernels.2-of-2.db ' ] ||
        fail "in $1: $(ls "$1")"
    "$bin/sphkv-db" merge "$1/all.db" "$1"/kernels.*-of-2.db --json >"$work/merge" 2>&1 ||
        fail "merge: $(cat "$work/merge")"
    grep -q '"winners":2,"damaged":0' "$work/merge" || fail "not two winners: $(cat "$work/merge")"
}

# ---- as an Indexed Job would ---------------------------------------------------------
mkdir "$work/pods" "$work/node"
for index in 0 1; do
    # shellcheck disable=SC2086 # a word per option
    TMPDIR=$work/node JOB_COMPLETION_INDEX=$index JOB_COMPLETIONS=2 SPHKV_RESULTS=$work/pods \
        "$cluster/tune-array.sh" $options >/dev/null 2>"$work/err" ||
        fail "pod $index: $(cat "$work/err")"
done
merged "$work/pods"
[ -z "$(ls "$work/node")" ] || fail "left on the node: $(ls "$work/node")"
TMPDIR=$work/node "$cluster/tune-array.sh" >"$work/err" 2>&1 && fail 'ran without an array'

# Time is over: what was tried comes along.
mkdir "$work/late"
TMPDIR=$work/node JOB_COMPLETION_INDEX=0 JOB_COMPLETIONS=2 SPHKV_RESULTS=$work/late \
    "$cluster/tune-array.sh" --kernels attn_decode --quiet --head-dim 64 --heads 2 --kv-heads 1 \
    --context 512 >/dev/null 2>"$work/err" &
job=$!
for _ in $(seq 100); do
    [ -s "$(echo "$work"/node/*/kernels.1-of-2.db)" ] && break
    sleep 0.2
done
kill -TERM "$job"
wait "$job"
status=$?
[ "$status" -eq 130 ] || fail "ended by its array: exit $status: $(cat "$work/err")"
"$bin/sphkv-db" ls --db "$work/late/kernels.1-of-2.db" >/dev/null 2>&1 || fail 'nothing was brought'
[ -z "$(ls "$work/node")" ] || fail "left on the node: $(ls "$work/node")"

for line in 'completionMode: Indexed' 'name: JOB_COMPLETIONS' 'name: SPHKV_RESULTS'; do
    grep -q "$line" "$cluster/kubernetes-job.yaml" || fail "the manifest has no $line"
done
count=$(sed -n 's/^  completions: //p' "$cluster/kubernetes-job.yaml")
grep -A1 'name: JOB_COMPLETIONS' "$cluster/kubernetes-job.yaml" | grep -q "\"$count\"" ||
    fail 'the manifest: JOB_COMPLETIONS is not its completions'

# ---- a Slurm of one node ---------------------------------------------------------------
for program in munged slurmctld slurmd sbatch sinfo; do
    command -v "$program" >/dev/null 2>&1 || PATH=$PATH:/usr/sbin command -v "$program" \
        >/dev/null 2>&1 || skip "$program is not installed (slurmctld, slurmd, slurm-client, munge)"
done
PATH=$PATH:/usr/sbin
[ "$(id -u)" -eq 0 ] || skip 'slurmd has to be started by root'

host=$(hostname -s)
chmod 755 "$work"
mkdir "$work/state" "$work/spool" "$work/out"
dd if=/dev/urandom of="$work/munge.key" bs=1024 count=1 2>/dev/null
chmod 600 "$work/munge.key"
port=$((20000 + $$ % 20000))
cat >"$work/slurm.conf" <<END
ClusterName=sphkv
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmdPort=$((port + 1))
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$work/munge.socket
CredType=cred/munge
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_res
SelectTypeParameters=CR_CPU
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
END
printf 'CgroupAutomount=no\n' >"$work/cgroup.conf"
export SLURM_CONF="$work/slurm.conf"

munged --foreground --force --socket="$work/munge.socket" --key-file="$work/munge.key" \
    --pid-file="$work/munge.pid" --log-file="$work/munge.log" --seed-file="$work/munge.seed" \
    >"$work/munge.out" 2>&1 &
pids="$pids $!"
for _ in 1 2 3 4 5 6 7 8 9 10; do
    [ -S "$work/munge.socket" ] && break
    sleep 0.5
done
[ -S "$work/munge.socket" ] || skip "munged does not start here: $(tail -n 1 "$work/munge.out")"
slurmctld -D -f "$work/slurm.conf" >"$work/slurmctld.log" 2>&1 &
pids="$! $pids"
slurmd -D -N "$host" -f "$work/slurm.conf" >"$work/slurmd.log" 2>&1 &
slurmd=$!
pids="$slurmd $pids"
state=''
for _ in $(seq 60); do
    state=$(sinfo -h -o %T 2>/dev/null)
    [ "$state" = idle ] && break
    kill -0 "$slurmd" 2>/dev/null || break
    sleep 0.5
done
[ "$state" = idle ] || skip "slurmd does not start here: $(tail -n 1 "$work/slurmd.log")"

# shellcheck disable=SC2086
SPHKV_RESULTS=$work/out timeout 200 sbatch --wait --array=3-5:2 --chdir="$work" \
    --output="$work/task-%a" "$cluster/tune-array.sh" $options >"$work/sbatch" 2>&1
status=$?
[ "$status" -eq 0 ] || fail "sbatch: exit $status: $(cat "$work/sbatch" "$work"/task-*)"
merged "$work/out"
# Again: the parts go on from what they brought, and nothing is tried twice.
# shellcheck disable=SC2086
SPHKV_RESULTS=$work/out timeout 200 sbatch --wait --array=3-5:2 --chdir="$work" \
    --output="$work/task-%a" "$cluster/tune-array.sh" $options >"$work/sbatch" 2>&1 ||
    fail "again: $(cat "$work/sbatch" "$work"/task-*)"
"$bin/sphkv-db" merge "$work/out/all.db" "$work"/out/kernels.*-of-2.db --json >"$work/merge" 2>&1
grep -q '"added":0,"replaced":0' "$work/merge" || fail "not as before: $(cat "$work/merge")"
exit "$failed"
