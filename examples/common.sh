# What the examples' run scripts share; they source it. Needs bash.
#
# SCALAB  the program; default: this checkout's .venv, then PATH, then python3 -m scalab
# PYTHON  a Python 3 for the scripts of the examples; default: likewise

set -eu

here=$(cd "$(dirname "$0")" && pwd)
repository=$(cd "$here/../.." && pwd)
if [ -z "${PYTHON:-}" ]; then
    PYTHON=$repository/.venv/bin/python
    [ -x "$PYTHON" ] || PYTHON=python3
fi
work=$(mktemp -d "${TMPDIR:-/tmp}/scalab-example.XXXXXX")

if [ -n "${SCALAB:-}" ]; then
    read -r -a scalab <<<"$SCALAB"
elif [ -x "$repository/.venv/bin/scalab" ]; then
    scalab=("$repository/.venv/bin/scalab")
elif command -v scalab >/dev/null; then
    scalab=(scalab)
else
    export PYTHONPATH="$repository${PYTHONPATH:+:$PYTHONPATH}"
    scalab=("$PYTHON" -m scalab)
fi

fail() {
    echo "$(basename "$here"): $*" >&2
    exit 1
}

need() { # PROGRAM WHY
    command -v "$1" >/dev/null || fail "$1 is needed $2, and is not installed"
}

# Runs a part in the background; its log goes to $work/NAME.log.
start() { # NAME COMMAND...
    local name=$1
    shift
    : >"$work/$name.log" # await may look before the new process has made it
    "$@" 2>>"$work/$name.log" &
}

# Waits until a part has logged that it is ready, and fails with its log if it ends before.
await() { # NAME TEXT
    local pid=$!
    for _ in $(seq 100); do
        if grep -q "$2" "$work/$1.log"; then return; fi
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    cat "$work/$1.log" >&2
    fail "$1 did not start"
}

# Starts a frontend. Port 0 takes a free one, and its log tells which.
start_frontend() { # QUEUE...
    start frontend "${scalab[@]}" frontend "$@" --grace 1 \
        --client-addr "${CLIENT_ADDR:-127.0.0.1:0}" \
        --worker-addr "${WORKER_ADDR:-127.0.0.1:0}" \
        --metrics-addr "${METRICS_ADDR:-127.0.0.1:0}"
    await frontend "frontend is ready"
    clients=$(logged frontend clients)
    backends=$(logged frontend backends)
    metrics=$(logged frontend metrics)
}

# Waits until so many backends are connected.
await_backends() { # COUNT
    for _ in $(seq 100); do
        if [[ $(get "$metrics") == *"scalab_connections{role=\"backend\"} $1.0"* ]]; then return; fi
        sleep 0.1
    done
    cat "$work"/*.log >&2
    fail "no $1 backends after 10 seconds"
}

# Prints the value of a field in a part's log.
logged() { # NAME FIELD
    sed -n "s/.* $2=\([^ ]*\).*/\1/p" "$work/$1.log" | head -n 1
}

# Prints what is at an address.
get() { # URL
    "$PYTHON" -ISc 'import sys, urllib.request as u; print(u.urlopen(sys.argv[1]).read().decode())' "$1"
}

# As sleep, but a signal to this script ends it at once.
pause() { # SECONDS
    sleep "$1" &
    wait "$!"
}

# Ends our own parts, by process id: politely first, for good after five seconds.
stop_all() {
    local pid
    trap - EXIT
    for pid in $(jobs -rp); do kill -TERM "$pid" 2>/dev/null || true; done
    for _ in $(seq 50); do
        [ -n "$(jobs -rp)" ] || break
        sleep 0.1
    done
    for pid in $(jobs -rp); do kill -KILL "$pid" 2>/dev/null || true; done
    wait
    rm -rf "$work"
}

trap stop_all EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
