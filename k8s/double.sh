#!/usr/bin/env bash
# Scales the backends of a tester step by step, and measures the throughput at each.
#
#     k8s/double.sh [-n NAMESPACE] [-s SECONDS] BACKENDS...
#
# -n  where the tester is (scalab-sleep)
# -s  how long each step is measured (20)
#
# Needs kubectl and curl. At the end, backends and load are as they were at the beginning. Take out an
# autoscaler before: it would have its own idea of how many backends there should be.

set -euo pipefail

namespace=scalab-sleep
seconds=20
while getopts n:s: option; do
    case $option in
    n) namespace=$OPTARG ;;
    s) seconds=$OPTARG ;;
    *) exit 2 ;;
    esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || set -- 1 2 4

backends=deployment/scalab-backend
port=${PORT:-19996} # where the client's control port is to be found on this machine
settle=${SETTLE:-5} # seconds before each step is measured

control() { # PATH
    curl -sS --fail --max-time 10 "http://localhost:$port/$1"
}

before=$(kubectl -n "$namespace" get "$backends" -o 'jsonpath={.spec.replicas}')
kubectl -n "$namespace" port-forward service/scalab-client "$port:9996" >/dev/null &
forward=$!
load=

finish() {
    if [ -n "$load" ]; then control "parallel?type=plain&value=$load" >/dev/null || true; fi
    kubectl -n "$namespace" scale "$backends" --replicas "$before" >/dev/null || true
    kill "$forward" 2>/dev/null || true
}
trap finish EXIT

for _ in $(seq 50); do
    if control livez >/dev/null 2>&1; then break; fi
    sleep 0.2
done
load=$(control "parallel?type=plain")

echo "backends  requests/s  times"
last=
for n in "$@"; do
    kubectl -n "$namespace" scale "$backends" --replicas "$n" >/dev/null
    kubectl -n "$namespace" rollout status "$backends" --timeout 5m >/dev/null
    # Two requests per backend: one runs and one waits, so that no backend is ever idle.
    control "parallel?type=plain&value=$((2 * n))" >/dev/null
    sleep "$settle"
    control "reset?type=plain" >/dev/null
    sleep "$seconds"
    rate=$(control "reqs-per-sec?type=plain")
    awk -v n="$n" -v now="$rate" -v last="${last:-0}" 'BEGIN {
        printf "%8d  %10.2f  %s\n", n, now, (last > 0 ? sprintf("%.2f", now / last) : "-") }'
    last=$rate
done
