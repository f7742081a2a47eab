# SPDX-License-Identifier: Apache-2.0
"""One module a command: `add_arguments(parser)` and `run(arguments) -> exit status`. They parse, call, and print."""
