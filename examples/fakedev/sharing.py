"""Run times of 1, 2, 4 and 8 workloads on one device: ``sharing.py SOCKET SIGMA KAPPA WORK_S``.

The variable WORKLOAD is the command of a workload.
"""

import os
import subprocess
import sys

WORKLOAD = os.environ["WORKLOAD"].split()


def measure(n: int, *args: str) -> float:
    """Run ``n`` workloads at once; return the mean of the run times in seconds that they tell."""
    command = [*WORKLOAD, "--verbose", *args]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(n)]
    told = [workload.communicate()[0] for workload in running]
    if any(workload.returncode for workload in running):
        sys.exit("a workload failed")
    return sum(float(text.split()[0]) for text in told) / n


def main() -> None:
    socket, *numbers = sys.argv[1:]
    sigma, kappa, work_s = map(float, numbers)
    print("workloads   measured   by the model     off")
    for n in (1, 2, 4, 8):
        taken_s = measure(n, "--socket", socket, "--device", "renderD128", "--work", str(work_s))
        model_s = work_s * (1 + sigma * (n - 1) + kappa * n * (n - 1))
        print(f"{n:9}  {taken_s:7.3f} s      {model_s:7.3f} s  {taken_s / model_s - 1:+6.1%}")


main()
