# SPDX-License-Identifier: Apache-2.0
"""Set before MindSpore's first primitive, and shared by all tests."""

import os
import signal
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for the fixtures that several rooms share
pytest_plugins = ("fixtures.training", "fixtures.answers")

os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")  # the wheel's oneDNN falls back to a reference kernel on AVX-512
os.environ.setdefault("GLOG_v", "3")  # MindSpore's own chatter: errors only


@pytest.fixture(autouse=True)
def handlers():
    """The handlers of signals stay as they were: the command as a shell starts it leaves those that end the process."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield kept
    for number, handler in kept.items():
        if signal.getsignal(number) != handler:
            signal.signal(number, handler)
