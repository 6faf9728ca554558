#!/bin/sh
# tune-array.sh - one part of a search, as a task of a job array: Slurm's, or a Kubernetes
# Indexed Job's (kubernetes-job.yaml). Options go to sphkv-tune.
#
#   id=$(sbatch --parsable --array=1-8 tune-array.sh --model llama-3.1-8b --context 8192,32768)
#   sbatch --dependency=afterany:$id --wrap 'sphkv-db merge kernels.db kernels.*-of-8.db'
#
# A database does not belong on a network file system, so the part works on one of the
# node's own and brings it to $SPHKV_RESULTS (the folder of the submission) when it ends,
# also when its time is over. Submitted again, it goes on from what it brought.
# $SPHKV_TUNE: the program, when it is not in the path.
#
# What a machine was measured on must be alone on it: whole nodes, of one kind.
#SBATCH --job-name=sphkv-tune
#SBATCH --exclusive
#SBATCH --signal=B:TERM@60
set -eu

tune=${SPHKV_TUNE:-sphkv-tune}
results=${SPHKV_RESULTS:-${SLURM_SUBMIT_DIR:-.}}
if [ -n "${SLURM_ARRAY_TASK_ID:-}" ]; then
    count=$SLURM_ARRAY_TASK_COUNT
    part=$(((SLURM_ARRAY_TASK_ID - ${SLURM_ARRAY_TASK_MIN:-0}) / ${SLURM_ARRAY_TASK_STEP:-1} + 1))
else
    count=${JOB_COMPLETIONS:?tune-array.sh is for a job array}
    part=$((JOB_COMPLETION_INDEX + 1))
fi
name=kernels.$part-of-$count.db
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [ -f "$results/$name" ]; then cp "$results/$name" "$work/$name"; fi

"$tune" --shard "$part/$count" --db "$work/kernels.db" "$@" &
job=$!
trap 'kill -TERM "$job" 2>/dev/null || :' TERM INT
status=0
wait "$job" || status=$?
while kill -0 "$job" 2>/dev/null; do # the wait was interrupted, the program is ending
    status=0
    wait "$job" || status=$?
done
if [ -f "$work/$name" ]; then
    cp "$work/$name" "$results/$name.new"
    mv "$results/$name.new" "$results/$name"
fi
exit "$status"
