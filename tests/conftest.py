# SPDX-License-Identifier: Apache-2.0
"""Set before MindSpore's first primitive, and shared by all tests."""

import os

os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")  # the wheel's oneDNN falls back to a reference kernel on AVX-512
os.environ.setdefault("GLOG_v", "3")  # MindSpore's own chatter: errors only
