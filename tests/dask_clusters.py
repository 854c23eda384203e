"""Clusters of real processes for tests, whose workers and schedulers may be killed."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time

import dask
from distributed import Client, LocalCluster

THREADS = 1
"""Of each worker."""

PATIENT = {
    "distributed.scheduler.allowed-failures": 1_000,
    # Whoever starts processes beside these tests must not be taken for a dead worker.
    "distributed.scheduler.worker-ttl": None,
    "distributed.deploy.lost-worker-timeout": "600s",
    "distributed.comm.timeouts.connect": "300s",
    "distributed.comm.timeouts.tcp": "300s",
}


@contextlib.contextmanager
def local_cluster(workers):
    """Start workers that nannies start again; yields the cluster and its client."""
    with (
        dask.config.set(PATIENT),
        LocalCluster(
            n_workers=workers,
            threads_per_worker=THREADS,
            processes=True,
            dashboard_address="127.0.0.1:0",
        ) as cluster,
        Client(cluster) as client,
    ):
        yield cluster, client


def kill_a_worker(cluster, draw):
    """Kill one of the workers that are at work, while that leaves one; return whether it did."""
    nannies = list(cluster.workers.values())  # one whose worker dies while it starts gives up
    at_work = [one.pid for one in nannies if one.worker_address in cluster.scheduler.workers]
    if len(at_work) <= len(nannies) // 2:
        return False
    os.kill(draw.choice(at_work), signal.SIGKILL)
    return True


def kill_while_computing(future, cluster, draw, most, pause_s):
    """Kill a worker again and again until all is computed; return how many were killed."""
    kills = 0
    while not future.done():
        time.sleep(draw.uniform(*pause_s))
        if kills < most and not future.done():
            kills += kill_a_worker(cluster, draw)
    return kills


class Programs:
    """Dask's own programs at one address, as on machines of a cluster.

    A context manager: what is left of them is killed.
    """

    def __init__(self, workers):
        self._workers = workers
        self._processes = []
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._host, self._port = free.getsockname()
        self.url = f"tcp://{self._host}:{self._port}"

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        for process in self._processes:
            process.kill()
            process.wait()

    def start(self):
        """Start a scheduler and workers."""
        place = ["--host", self._host, "--port", self._port]
        self._scheduler = self._started("dask_scheduler", *place, "--no-dashboard", "--no-show")
        for _ in range(self._workers):
            options = ["--nthreads", THREADS, "--no-nanny", "--no-dashboard"]
            self._started("dask_worker", self.url, *options)

    def kill_scheduler(self):
        """Kill the scheduler."""
        self._scheduler.kill()
        self._scheduler.wait()

    def _started(self, module, *arguments):
        command = [sys.executable, "-m", f"distributed.cli.{module}", *map(str, arguments)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._processes.append(process)
        return process
