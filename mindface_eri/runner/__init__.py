# SPDX-License-Identifier: Apache-2.0
"""Training, evaluation and everything that depends on device, mode, seed or rank."""

from mindface_eri.device.context import prepare_environment

prepare_environment()  # before any module of this package imports MindSpore
