"""Run times of 1, 2, 4 and 8 workloads on one device: ``sharing.py SOCKET SIGMA KAPPA WORK_S``."""

import os
import subprocess
import sys
import time

WORKLOAD = os.environ["WORKLOAD"].split()


def measure(n: int, *args: str) -> float:
    """Run ``n`` workloads at once; return the mean of their run times in seconds."""
    started = {}
    for _ in range(n):
        process = subprocess.Popen([*WORKLOAD, *args])
        started[process.pid] = time.monotonic()
    taken = []
    while started:
        pid, status = os.wait()
        taken.append(time.monotonic() - started.pop(pid))
        if status:
            sys.exit(f"a workload ended with status {status}")
    return sum(taken) / n


def main() -> None:
    socket, *numbers = sys.argv[1:]
    sigma, kappa, work_s = map(float, numbers)
    print("workloads  measured  by the model     off")
    for n in (1, 2, 4, 8):
        taken_s = measure(n, "--socket", socket, "--device", "renderD128", "--work", str(work_s))
        model_s = work_s * (1 + sigma * (n - 1) + kappa * n * (n - 1))
        off = taken_s / model_s - 1
        print(f"{n:9}  {taken_s:6.3f} s       {model_s:6.3f} s  {off:+6.1%}", flush=True)


main()
