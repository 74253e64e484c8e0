#!/bin/bash
# A run on a Cloud TPU slice: makes the slice, installs pfljax on all of its hosts, runs there, fetches the folder.
#
#   export PROJECT=my-project ZONE=us-west4-a
#   scripts/tpu_pod.sh create v5litepod-16       # once
#   scripts/tpu_pod.sh install                   # once: this clone, on every host
#   scripts/tpu_pod.sh run keyboard --rounds 200 --out runs/first
#   scripts/tpu_pod.sh run --resume runs/first   # after a preemption or a fault
#   scripts/tpu_pod.sh fetch runs/first
#   scripts/tpu_pod.sh delete                    # a slice costs money while it exists
set -euo pipefail

name=${NAME:-pfljax}
project=${PROJECT:?set PROJECT to the id of your Google Cloud project}
zone=${ZONE:?set ZONE to a zone that has the TPUs, e.g. us-west4-a}
version=${VERSION:-v2-alpha-tpuv5-lite} # of the hosts' software: v2-alpha-tpuv5 for v5p, v2-alpha-tpuv6e for v6e
where=(--project "$project" --zone "$zone")

on_hosts() { # on_hosts HOST COMMAND: HOST is all, or a number
  gcloud compute tpus tpu-vm ssh "$name" "${where[@]}" --worker="$1" --command "$2"
}

command=${1:?expected create, install, run, fetch or delete}
shift
case "$command" in
  create)
    gcloud compute tpus tpu-vm create "$name" "${where[@]}" \
      --accelerator-type "${1:?expected the type of the slice, e.g. v5litepod-16}" --version "$version"
    ;;
  install)
    git archive --format=tar.gz --prefix=pfljax/ -o /tmp/pfljax.tar.gz HEAD
    gcloud compute tpus tpu-vm scp /tmp/pfljax.tar.gz "$name": "${where[@]}" --worker=all
    on_hosts all 'tar xzf pfljax.tar.gz && python3 -m venv venv && venv/bin/pip install -q "jax[tpu]" ./pfljax'
    ;;
  run)
    # Quoted once more for the shell on the hosts. They find each other through the metadata of the slice.
    on_hosts all "venv/bin/pfljax run $(printf '%q ' "$@") --engine.processes cluster"
    ;;
  fetch)
    folder=${1:?expected the run folder}
    mkdir -p "$(dirname "$folder")"
    gcloud compute tpus tpu-vm scp --recurse "$name:$folder" "$(dirname "$folder")" "${where[@]}" --worker=0
    ;;
  delete)
    gcloud compute tpus tpu-vm delete "$name" "${where[@]}"
    ;;
  *)
    echo "tpu_pod.sh: expected create, install, run, fetch or delete, got $command" >&2
    exit 2
    ;;
esac
