# SPDX-License-Identifier: Apache-2.0
"""Which time stamps of a stream are right, and where the pictures of the others belong; see `clock` for the rules."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from typing import List, Optional, Tuple

import numpy as np

REORDER = 16  # packets by which codecs may store a picture away from its place
_WINDOW = 7  # stamps on each side of a place that tell whether the clock begins anew there
_FEW = 4  # a shorter recording is not told from odd stamps
_LONE = 10.0  # times the longest other gap, from which a single last picture is not believed
# Of the sound's clock, too, so that both begin anew together:
NEAR = 2.0  # seconds by which stamps that begin anew go back at least
LONGEST = 86_400.0  # seconds; no recorder pauses for more than a day


def mended(known: np.ndarray, step: float, order: Optional[np.ndarray]) -> Tuple[np.ndarray, int]:
    """(n,) seconds, none of them twice, and how often the stamps begin anew.

    Args:
        known: (n,) seconds in the file's order, nan where there is no stamp; returned itself where all are right.
        step: seconds from one picture to the next, as a rule.
        order: (n,) likewise, those of decoding, where pictures may be stored in another order than they are shown in.
    """
    reach = 0 if order is None else REORDER
    if _right(known, reach) and (order is None or (np.diff(order[np.isfinite(order)]) > 0).all()):
        return known, 0
    ordered = order is not None and np.isfinite(order).all()
    joins = begin_anew(order, 0) if ordered else begin_anew(known, reach)
    parts, end = [], None
    for part in np.split(known, joins):
        times = _mended_part(part, step, reach)
        if end is not None:
            times = times + (end + step - times.min())
        parts.append(times)
        end = float(times.max())
    return np.concatenate(parts), len(joins)


def _right(known: np.ndarray, reach: int) -> bool:
    """Whether all stamps are there, none twice and none further from its place than the codec explains."""
    if not np.isfinite(known).all():
        return False
    order = np.argsort(known, kind="stable")
    ordered = known[order]
    steps, away = np.diff(ordered), np.abs(order - np.arange(len(order)))
    return bool((steps > 0).all() and (steps <= LONGEST).all() and (away <= reach).all() and not _lone_end(ordered))


def _lone_end(ordered: np.ndarray) -> bool:
    steps = np.diff(ordered)
    return len(steps) > 2 and steps[-1] > 1.0 and steps[-1] > _LONE * steps[:-1].max()


def begin_anew(known: np.ndarray, reach: int, back: float = NEAR) -> List[int]:
    """Numbers of the packets with which the stamps begin anew, far before or beyond all that came, and for good.

    Args:
        known: (n,) seconds in the file's order, nan where there is no stamp.
        reach: packets by which one may be stored away from its place.
        back: seconds by which stamps that begin anew go back at least.
    """
    where = np.flatnonzero(np.isfinite(known))
    stamps, width = known[where], _WINDOW + reach
    jumps = np.diff(stamps)
    joins: List[int] = []
    for i in np.flatnonzero((jumps < -back) | (jumps > LONGEST)) + 1:
        if i < _FEW or i > len(stamps) - _FEW or joins and i - joins[-1] < _FEW:
            continue
        leap = np.median(stamps[i:i + width]) - np.median(stamps[max(i - width, 0):i])
        if leap > LONGEST or leap < 0 and stamps[i] < np.median(stamps[max(i - width, 0):i]):
            joins.append(int(i))
    return where[joins].tolist()


def _mended_part(known: np.ndarray, step: float, reach: int) -> np.ndarray:
    """The same (n,) times with those that contradict the others replaced, for a part without a new beginning."""
    chain = _longest_chain(known)
    good = np.zeros(len(known), bool)
    good[chain] = True
    if reach:
        _accept_reordered(known, good, chain, reach)
    if good.sum() and _lone_end(np.sort(known[good])):
        good[np.flatnonzero(good)[np.argmax(known[good])]] = False
    times = np.where(good, known, np.nan)
    if not good.any():
        return np.arange(len(known)) * step
    first = int(np.flatnonzero(good)[0])
    times[:first] = np.nanmin(times) - step * np.arange(first, 0, -1)
    if reach:
        _fill_reordered(times, step, reach)
    else:
        _fill(times, step)
    return times


def _longest_chain(known: np.ndarray) -> List[int]:
    """Indices of the longest strictly increasing subsequence, leaving out nan."""
    tails: List[float] = []
    at: List[int] = []
    before = np.full(len(known), -1)
    for i, value in enumerate(known):
        if not np.isfinite(value):
            continue
        place = bisect_left(tails, value)
        before[i] = at[place - 1] if place else -1
        if place == len(tails):
            tails.append(value)
            at.append(i)
        elif value < tails[place]:
            tails[place], at[place] = value, i
    chain, i = [], at[-1] if at else -1
    while i >= 0:
        chain.append(i)
        i = int(before[i])
    return chain[::-1]


def _accept_reordered(known: np.ndarray, good: np.ndarray, chain: List[int], reach: int) -> None:
    """Stamps beside the chain that lie among those of the packets around them."""
    seen, slack = set(known[chain].tolist()), reach * usual_step(known[chain], 0.0)
    for i in np.flatnonzero(~good & np.isfinite(known)):
        place = bisect_left(chain, i)
        low = known[chain[place - reach]] if place >= reach else -np.inf
        high = known[chain[place + reach - 1]] if place + reach <= len(chain) else np.inf
        low, high = max(low, known[chain[0]] - slack), min(high, known[chain[-1]] + slack)
        if low < known[i] < high and known[i] not in seen:
            good[i] = True
            seen.add(float(known[i]))


def usual_step(seconds: np.ndarray, otherwise: float) -> float:
    """The median step forwards."""
    steps = np.diff(seconds[np.isfinite(seconds)])
    return float(np.median(steps[steps > 0])) if (steps > 0).any() else otherwise


def _fill(times: np.ndarray, step: float) -> None:
    """Gives each nan between two numbers, and after the last one, its place."""
    there = np.flatnonzero(np.isfinite(times))
    for left, right in zip(there, [*there[1:], len(times)]):
        count = right - left
        if count > 1:
            room = (times[right] - times[left]) / count if right < len(times) else usual_step(times[:right], step)
            times[left + 1:right] = times[left] + min(step, room) * np.arange(1, count)


def _fill_reordered(times: np.ndarray, step: float, reach: int) -> None:
    """Gives each nan a place in the widest gap around it, as nobody knows where the codec shows it."""
    placed = sorted(times[np.isfinite(times)].tolist())
    for i in np.flatnonzero(~np.isfinite(times)):
        near = times[max(i - reach, 0):i + reach + 1]
        near = near[np.isfinite(near)]
        some = np.array(placed[bisect_left(placed, near.min()):bisect_right(placed, near.max())] if len(near) else [])
        gaps = np.diff(some)
        wide = np.flatnonzero(gaps > 1.5 * step)
        if len(wide):
            k = wide[np.abs(some[wide] - np.median(near)).argmin()]
            times[i] = some[k] + min(step, gaps[k] / 2)
        elif len(gaps) and i + reach < len(times):
            times[i] = some[gaps.argmax()] + gaps.max() / 2
        else:
            times[i] = placed[-1] + usual_step(np.array(placed), step)
        insort(placed, float(times[i]))
