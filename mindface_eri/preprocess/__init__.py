# SPDX-License-Identifier: Apache-2.0
"""From clip files to arrays: faces, crops and MFCC stacks (paper section 4.2). No MindSpore here."""
