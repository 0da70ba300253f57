"""What a record says of the machine that it was made on."""

from __future__ import annotations

import platform
import subprocess

import pytest
import torch

from reidbench.harness.environment import environment, processor

EPYC = """processor\t: 0
vendor_id\t: AuthenticAMD
cpu family\t: 25
model\t\t: 17
model name\t: AMD EPYC  Processor
stepping\t: 1

processor\t: 1
cpu family\t: 99
model\t\t: 99
model name\t: another
"""
# Processors of this kind have no model name there.
ARM = "processor\t: 0\nBogoMIPS\t: 50.00\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (EPYC, "AMD EPYC Processor (family 25, model 17)"),
        ("model name : a processor\nflags :\n", "a processor"),
        (ARM, f"{platform.processor() or platform.machine()} (implementer 0x41, part 0xd0c)"),
        ("", platform.processor() or platform.machine()),
    ],
)
def test_the_processor_is_named_with_its_generation(tmp_path, monkeypatch, text, name):
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    file = tmp_path / "cpuinfo"
    file.write_text(text)
    assert processor(file) == name


def test_without_that_file_it_is_what_python_knows(tmp_path, monkeypatch):
    monkeypatch.setattr(platform, "system", lambda: "Windows")
    assert processor(tmp_path / "none") == (platform.processor() or platform.machine())


def test_a_record_names_the_processor_that_it_was_made_on():
    here = environment(torch.device("cpu"))
    assert here.device_name == processor()
    assert here.differences(here) == []


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"device_name": "another"}, ["one, not another"]),
        ({"cpu_capability": "AVX2"}, ["AVX512, not AVX2"]),
        ({"device": "cuda", "device_name": "a GPU"}, ["cpu, not cuda"]),
        ({"platform": "Linux aarch64"}, ["x86_64, not aarch64"]),
        ({"packages": {"torch": "2.14.0", "numpy": "2.4.6"}}, ["torch 2.15.0, not torch 2.14.0"]),
        # What one of them doesn't say is no difference: records of before name the architecture alone.
        ({"device_name": "x86_64"}, []),
        ({"cpu_capability": None}, []),
        ({"packages": {"torch": "2.15.0"}}, []),
        # Neither the number of cores nor Python's version rounds anything, and pandas computes nothing that is learned.
        ({"cpus": 64, "threads": 8, "python": "3.13.0"}, []),
        ({"packages": {"torch": "2.15.0", "numpy": "2.4.6", "pandas": "1.0"}}, []),
        ({"platform": ""}, ["x86_64, not "]),
    ],
)
def test_two_machines_differ_where_an_equal_training_may_end_elsewhere(changes, told):
    here = environment(torch.device("cpu"))
    plain = {"platform": "Linux x86_64", "device_name": "one", "cpu_capability": "AVX512"}
    here = here.model_copy(update=plain | {"packages": {"torch": "2.15.0", "numpy": "2.4.6"}})
    there = here.model_copy(update=changes)
    assert here.differences(there) == told
    assert bool(there.differences(here)) == bool(told)


def test_machines_are_alike_only_if_both_name_their_processors_or_neither():
    here = environment(torch.device("cpu")).model_copy(update={"platform": "Linux x86_64", "device_name": "one"})
    unnamed = here.model_copy(update={"device_name": "x86_64"})
    assert here.rounds_like(here)
    assert unnamed.rounds_like(unnamed)
    assert not here.rounds_like(unnamed)
    assert not unnamed.rounds_like(here)
    assert not here.rounds_like(here.model_copy(update={"device_name": "another"}))


def test_macos_names_it_by_sysctl(monkeypatch):
    asked = []

    def run(command, **more):
        asked.append(command)
        if len(asked) == 1:
            raise FileNotFoundError(command[0])
        return subprocess.CompletedProcess(command, 0, "Apple M4\n", "")

    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(subprocess, "run", run)
    assert processor() == platform.machine(), "without the command it is what Python knows"
    assert processor() == "Apple M4"
    assert asked == [["sysctl", "-n", "machdep.cpu.brand_string"]] * 2
