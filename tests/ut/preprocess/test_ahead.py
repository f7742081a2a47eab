# SPDX-License-Identifier: Apache-2.0
"""Work ahead: the same items, errors at their place, nothing left behind."""

import threading
import time

import pytest

from mindface_eri.preprocess.ahead import ahead


class Source:
    """Counts; knows who ran it, how far, and whether it was closed."""

    def __init__(self, stop=10**9):
        self.made, self.threads, self.closed = 0, set(), False
        self.items = self._items(stop)

    def _items(self, stop):
        try:
            while self.made < stop:
                self.threads.add(threading.get_ident())
                self.made += 1
                yield self.made - 1
            raise ValueError("at the end")
        finally:
            self.closed = True


def test_the_same_items_and_the_error_at_its_place():
    source, got = Source(7), []
    with pytest.raises(ValueError, match="at the end"):
        got.extend(ahead(source.items))  # a list keeps what came before the error
    assert got == list(range(7)) and source.closed
    assert len(source.threads) == 1 and threading.get_ident() not in source.threads
    assert not list(ahead(iter_of([]))) and list(ahead(iter_of([None, 0]))) == [None, 0]


def iter_of(items):
    yield from items


def test_who_leaves_early_leaves_nothing_behind():
    before = threading.active_count()
    source = Source()
    taken = ahead(source.items, steps=3)
    assert [next(taken), next(taken)] == [0, 1] and not source.closed
    taken.close()
    assert source.closed and source.made <= 5 and threading.active_count() == before


def test_nothing_runs_before_it_is_asked_for():
    source = Source()
    ahead(source.items).close()
    assert source.made == 0


@pytest.mark.parametrize("options, steps", [({}, 4), ({"steps": 2}, 2)])
def test_as_many_steps_ahead_as_asked_for(options, steps):
    source = Source()
    taken = ahead(source.items, **options)
    for count in (1, 2, 3):
        next(taken)
        deadline = time.monotonic() + 20
        while source.made < count + steps and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(0.01)
        assert source.made == count + steps
    taken.close()


def test_work_is_done_while_the_caller_is_busy():
    """The second item is begun before it is asked for, so that it can wait for what the caller does meanwhile."""
    met = threading.Event()

    def items():
        yield 1
        yield met.wait(20)

    taken = ahead(items())
    assert next(taken) == 1
    met.set()
    assert next(taken) is True


def test_work_that_nobody_waits_for_is_not_begun():
    """Who leaves waits for the step that is running, and the steps behind it are taken back."""
    running, go_on, made = threading.Event(), threading.Event(), []

    def items():
        for k in range(9):
            made.append(k)
            if k == 2:
                running.set()
                go_on.wait(20)
            yield k

    taken = ahead(items())
    assert next(taken) == 0 and running.wait(20)
    threading.Timer(0.05, go_on.set).start()
    taken.close()
    assert made == [0, 1, 2]
