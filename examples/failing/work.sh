#!/bin/sh
# work.sh UNIT: some work on a unit. Two of the units are not in order.
case $1 in
*unit-2)
    echo "calibrating $(basename "$1")"
    echo "$(basename "$1"): self-test failed, sensor 7 out of range" >&2
    exit 3
    ;;
*unit-3)
    kill -SEGV $$ # as a crash would
    ;;
*)
    exec sleep 0.05
    ;;
esac
