# SPDX-License-Identifier: Apache-2.0
"""From clip files to arrays: faces, crops and MFCC stacks (paper sections 3.1 and 3.3). No MindSpore here."""
