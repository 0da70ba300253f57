"""Processes that are told to end."""

from __future__ import annotations

import os
import signal
import time

import pytest

from reidbench.processes import Terminated, termination_interrupts


def told(number: int) -> None:
    with termination_interrupts():
        os.kill(os.getpid(), number)
        time.sleep(5)


def told_while_a_library_waits() -> None:
    with termination_interrupts():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        except KeyboardInterrupt:
            raise KeyboardInterrupt from None


def test_sigterm_interrupts_and_is_told_from_ctrl_c():
    with pytest.raises(Terminated):
        told(signal.SIGTERM)
    # A shell has what it starts in the background ignore Ctrl-C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt) as found:
            told(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert not isinstance(found.value, Terminated)


def test_sigterm_is_told_from_ctrl_c_where_a_library_raises_the_plain_interrupt():
    with pytest.raises(Terminated):
        told_while_a_library_waits()
