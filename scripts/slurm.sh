#!/bin/bash
# A run on SLURM, one process a node with all of its GPUs.
#
#   sbatch --nodes=2 scripts/slurm.sh keyboard --rounds 200
#   sbatch --nodes=2 scripts/slurm.sh --resume runs/12345
#
# The environment with pfljax and JAX for the GPUs (pip install "jax[cuda13]") has to be on a disk that all nodes see.
#SBATCH --job-name=pfljax
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=16
#SBATCH --time=04:00:00
#SBATCH --signal=TERM@120
#SBATCH --output=pfljax-%j.log
# --signal: two minutes before its time is over, a run is told to save and to end. One task a node: a process must see all
# GPUs of its node, and SLURM's JAX detection gives each task one (JAX_LOCAL_DEVICE_IDS overrules it).
set -euo pipefail

gpus=${SLURM_GPUS_ON_NODE:-8}
JAX_LOCAL_DEVICE_IDS=$(seq -s, 0 $((gpus - 1)))
export JAX_LOCAL_DEVICE_IDS

if [[ " $* " == *" --resume "* ]]; then
  out=()
else
  out=(--out "runs/${SLURM_JOB_ID}")
fi

# Processes find each other through SLURM's variables. --kill-on-bad-exit: not needed where pfljax ends them, but it is
# what is left if a node goes down with all that ran there.
srun --kill-on-bad-exit=1 --label "${PFLJAX:-pfljax}" run "$@" "${out[@]}" --engine.processes cluster
