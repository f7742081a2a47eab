"""Training, evaluation and everything that depends on device, mode, seed or rank."""

from mindface_eri.runner.context import prepare_environment

prepare_environment()  # before any module of this package imports MindSpore
