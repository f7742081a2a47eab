# Copyright 2026 The mindface_eri authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
# ============================================================================
"""mindface-eri summary"""

from mindface_eri.commands.common import add_config, read_config


def add_arguments(parser):
    """Adds this command's arguments."""
    add_config(parser)
    parser.add_argument("--batch-size", type=int, nargs="+", default=[1, 64], help="batch sizes for the memory columns")


def run(arguments):
    """Prints the table."""
    from mindface_eri.deploy.summary import summarize
    from mindface_eri.report.tables import format_table

    config = read_config(arguments)
    headers, rows = summarize(config.model, batch_sizes=tuple(arguments.batch_size))
    print(format_table(headers, rows, digits=2))
    return 0
