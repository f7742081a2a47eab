# SPDX-License-Identifier: Apache-2.0
"""What the package costs, each figure beside what one would use instead, measured in turns in one run.

One file a subject; `harness.py` is what they share. The yardsticks (`literal.py`, `torch_data.py`, `torch_route.py` and
`benchmark/torch_twin.py`) are written as their users would write them, and share no code with what they are beside.
"""
