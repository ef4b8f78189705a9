"""Results in order, made in several threads, and not too many of them before they are wanted."""

import os
import threading
import time

import pytest

from modeling_unipt.common import parallel
from modeling_unipt.common.parallel import cpu_name, map_ahead, usable_cores


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system cannot tell")
def test_only_the_cores_of_this_process_count(monkeypatch):
    assert usable_cores() == sorted(os.sched_getaffinity(0))
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {5, 3})
    assert usable_cores() == [3, 5]


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ("model name\t: Some CPU @ 2 GHz\nflags\t\t: sse avx512_bf16\n", "Some CPU @ 2 GHz (avx512_bf16)"),
        ("model name\t: A\nflags\t\t: avx512_bf16 amx_bf16\nmodel name\t: B\n", "A (avx512_bf16, amx_bf16)"),
        ("model name\t: A\nflags\t\t: sse avx512\n", "A (no bfloat16)"),
    ],
)
def test_a_cpu_is_named_with_what_makes_it_fast_in_bfloat16(content, name, monkeypatch, tmp_path):
    monkeypatch.setattr(parallel, "CPU_INFO", tmp_path / "cpuinfo")
    (tmp_path / "cpuinfo").write_text(content)
    assert cpu_name() == name


def test_a_cpu_has_a_name_on_every_system(monkeypatch, tmp_path):
    monkeypatch.setattr(parallel, "CPU_INFO", tmp_path / "nothing")
    assert cpu_name()


def test_the_order_is_kept_whatever_ends_first():
    def late_if_even(number):
        time.sleep(0.01 * (number % 2 == 0))
        return number * number

    assert list(map_ahead(late_if_even, iter(range(20)), 4, 8)) == [number * number for number in range(20)]


def test_no_more_is_begun_than_asked_for():
    begun = []
    results = map_ahead(begun.append, range(100), 2, 5)
    next(results)
    time.sleep(0.05)
    assert len(begun) == 5
    results.close()
    assert len(begun) < 10


def test_several_threads_work_at_once():
    barrier = threading.Barrier(3, timeout=10)
    assert len(list(map_ahead(lambda _: barrier.wait(), range(3), 3, 3))) == 3


def test_what_fails_is_raised_where_its_result_is_taken():
    results = map_ahead(lambda number: 1 / number, [1, 0], 1, 4)
    with pytest.raises(ZeroDivisionError):
        list(results)
