import threading
import time

import pytest

from switchhead_lab.tracking.bounded import BoundedWorker

LONG = 60.0


def test_results_and_errors_are_returned() -> None:
    worker = BoundedWorker()
    assert worker.run(lambda: 7, LONG) == 7

    def fail() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        worker.run(fail, LONG)


def test_a_hanging_job_times_out_and_jobs_queued_behind_it_never_start() -> None:
    worker = BoundedWorker()
    release, ended = threading.Event(), threading.Event()
    done: list[str] = []

    def hang() -> None:
        release.wait(LONG)
        done.append("late")
        ended.set()

    with pytest.raises(TimeoutError, match=r"no answer within 0\.05 s"):
        worker.run(hang, 0.05)
    with pytest.raises(TimeoutError):
        worker.run(lambda: done.append("second"), 0.05)
    release.set()
    assert ended.wait(LONG)
    worker.run(lambda: done.append("third"), LONG)
    assert done == ["late", "third"]


def test_later_jobs_wait_for_a_job_that_timed_out() -> None:
    worker = BoundedWorker()
    with pytest.raises(TimeoutError):
        worker.run(lambda: time.sleep(0.3), 0.05)
    assert worker.run(lambda: "after", LONG) == "after"
