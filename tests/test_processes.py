"""Processes that are told to end."""

from __future__ import annotations

import os
import signal
import time

import pytest

from reidbench.processes import Terminated, termination_interrupts


def told_to_end() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(5)


def test_sigterm_interrupts_and_is_told_from_ctrl_c():
    with pytest.raises(Terminated), termination_interrupts():
        told_to_end()
    with pytest.raises(KeyboardInterrupt) as found, termination_interrupts():
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)
    assert not isinstance(found.value, Terminated)


def test_sigterm_is_told_from_ctrl_c_where_a_library_raises_the_plain_interrupt():
    with pytest.raises(Terminated), termination_interrupts():
        try:
            told_to_end()
        except KeyboardInterrupt:
            raise KeyboardInterrupt from None
