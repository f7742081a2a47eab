# SPDX-License-Identifier: Apache-2.0
"""`mindface-eri predict`, for those who call tools by file, as msrun does."""

import sys

from mindface_eri.cli import main

if __name__ == "__main__":
    sys.argv.insert(1, "predict")
    sys.exit(main())
