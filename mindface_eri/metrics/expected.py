# SPDX-License-Identifier: Apache-2.0
"""How far a correlation will be trusted on a split that has not been scored yet: from its clips and people alone."""

from __future__ import annotations

import math
from typing import Tuple

# Variance of Fisher's z, over clips x emotions and over people. Fitted to what the jackknife gave of kernel ridge on
# samples of acted speech (3 to 24 people, 5 to 60 clips each): of one emotion 2.2 and 0.027, of the mean of seven
# 0.24 x 7 and 0.011; morphed smiles (one label, 4 to 60 people of 5 clips) gave 1.5 to 2.8. It is not the 1 of
# independent, normal clips, for labels of acted emotions are sparse.
_PER_CLIP, _PER_PERSON = 2.0, 0.02
FEW_CLIPS, FEW_PEOPLE = 200, 10  # below either, a split's score is said to be uncertain


def interval_to_expect(clips: int, people: int, emotions: int = 1, *, correlation: float = 0.5,
                       confidence: float = 0.95) -> Tuple[float, float]:
    """(low, high) that the jackknife over people will give about a mean Pearson of `correlation`, roughly.

    Args:
        clips: labelled clips of the split; people: groups among them, as many as clips where each stands for itself.
        emotions: how many the mean is over; they are taken to differ as those of acted speech do.

    NaN where there are fewer than two people: nothing tells then how much another would differ.
    """
    from scipy.stats import t  # takes a while to import

    if people < 2:
        return math.nan, math.nan
    error = math.sqrt(_PER_CLIP / (clips * emotions) + _PER_PERSON / people)
    reach, z = t.ppf(0.5 + confidence / 2, people - 1) * error, math.atanh(correlation)
    return math.tanh(z - reach), math.tanh(z + reach)


def is_small(clips: int, people: int) -> bool:
    """Whether a split is so small that its score needs a word of caution."""
    return clips < FEW_CLIPS or people < FEW_PEOPLE


def words_of_expectation(clips: int, people: int, emotions: int = 1) -> str:
    """What a score on so many clips of so many people will tell, as part of a sentence."""
    low, high = interval_to_expect(clips, people, emotions)
    if math.isnan(low):
        return "no interval can be told from one person: how much another would differ is not known"
    return f"a mean Pearson of 0.5 on them means something between about {low:.2f} and {high:.2f} (95%)"
