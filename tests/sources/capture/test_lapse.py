"""How long a capture went on after a frame: by the order of the file, whatever its clock did."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from packets import At, pcap, tcp, udp

from auditor.sources.capture import reader as capture
from auditor.sources.capture.lapse import RESPONSE_NS, Lapse

SYN = tcp("10.0.0.1:50000 > 10.0.0.5:445")
BYSTANDER = udp("192.0.2.8:5353 > 192.0.2.9:5353")
HOUR = 3600

# Seconds that pass between frames, by a clock that runs evenly: a capture in order.
STEPS = st.lists(st.sampled_from([0.0, 0.0004, 0.01, 0.7, 1.0, 2.5, 3.0, 9.0]), min_size=1, max_size=40)
BACK = st.sampled_from([0.0003, 0.05, 0.9, 1.5, 4.0, 60.0, HOUR])
UNTIMED = 9 + 1  # the step in which the clock is set back, and the second by which frames may be out of order


def outlasted(times: list[float], cuts: tuple[int, ...] = ()) -> int:
    """Return the last frame that is outlasted, of frames at these seconds, read in several batches."""
    lapse = Lapse()
    frame, time_ns = np.arange(1, len(times) + 1), np.array([round(one * 1e9) for one in times], np.int64)
    for begin, end in zip((0, *cuts), (*cuts, len(times)), strict=True):
        lapse.add(frame[begin:end], time_ns[begin:end])
    return lapse.outlasted_frame


def times_of(steps: list[float]) -> list[float]:
    return [1_700_000_000 + one for one in np.cumsum(steps).tolist()]


def test_in_a_capture_in_order_it_is_the_last_frame_three_seconds_before_the_end(read):
    source = read([At(0, SYN), At(1, SYN), At(3.99, BYSTANDER), At(4, BYSTANDER)])
    assert source.outlasted_frame == 2


def test_a_capture_that_ends_at_once_outlasts_nothing(read):
    assert read([At(0, SYN), At(2.99, BYSTANDER)]).outlasted_frame == 0
    assert read([]).outlasted_frame == 0


@given(STEPS)
def test_in_a_capture_in_order_times_tell(steps):
    times = times_of(steps)
    long_before = [number for number, one in enumerate(times, 1) if times[-1] - one >= RESPONSE_NS / 1e9]
    too_late = [number for number, one in enumerate(times, 1) if times[-1] - one < RESPONSE_NS / 1e9 - 0.01]
    assert outlasted(times) >= max(long_before, default=0)
    assert outlasted(times) < min(too_late)


@given(STEPS, st.data())
def test_batches_change_nothing(steps, data):
    times = [one - data.draw(st.sampled_from([0, 0, 0.003, 5, HOUR])) for one in times_of(steps)]
    cuts = sorted(data.draw(st.sets(st.integers(1, len(times)))) - {len(times)})
    assert outlasted(times, tuple(cuts)) == outlasted(times)


@given(STEPS, st.data(), BACK)
def test_a_clock_that_is_set_back_outlasts_no_more(steps, data, back):
    times = times_of(steps)
    since = data.draw(st.integers(0, len(times)))
    assert outlasted([*times[:since], *(one - back for one in times[since:])]) <= outlasted(times)


@given(STEPS, st.data(), BACK)
def test_a_clock_that_is_set_back_loses_no_long_silence(steps, data, back):
    times = times_of(steps)
    since = data.draw(st.integers(0, len(times)))
    long = [number for number, one in enumerate(times, 1) if times[-1] - one > 2 * RESPONSE_NS / 1e9 + UNTIMED]
    assert outlasted([*times[:since], *(one - back for one in times[since:])]) >= max(long, default=0)


def test_frames_of_two_interfaces_that_are_not_quite_in_order_add_up_to_no_silence():
    assert outlasted([number * 0.001 + 0.3 * (number % 2) for number in range(2_000)]) == 0


def test_a_frame_with_an_early_time_of_its_own_is_no_silence():
    assert outlasted([1000, 0, 1000.1, 1000.2]) == 0


def test_an_interface_whose_clock_is_an_hour_behind_is_no_silence():
    seconds = [number / 10 for number in range(20)]
    assert outlasted([HOUR + one - HOUR * (number % 2) for number, one in enumerate(seconds)]) == 0


def test_as_many_frames_as_there_may_be_at_one_time_are_not_remembered():
    lapse = Lapse()
    for number in range(100):
        lapse.add(np.arange(1000) + number * 1000, np.arange(1000) + number * 1000)
    assert len(lapse._in_step._frame) == 1


def test_the_size_of_the_window_does_not_change_it(monkeypatch, read):
    packets = [At(second, BYSTANDER) for second in (0, 1, 2, -HOUR, 5 - HOUR, 6 - HOUR, 7 - HOUR)]
    content = pcap([At(one.seconds + 2 * HOUR, one.packet) for one in packets])
    whole = read(content).outlasted_frame
    monkeypatch.setattr(capture, "WINDOW", 100)
    assert read(content).outlasted_frame == whole == 4
