"""Hangs, and so does its child; neither of them cares about SIGTERM."""

import os
import signal
import time

signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.fork()
time.sleep(600)
