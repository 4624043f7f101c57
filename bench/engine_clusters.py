"""Ray, Dask and Spark on this machine, for tests and benchmarks that send tables to them."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import pandas as pd
import pyarrow as pa

LOCAL = "127.0.0.1"
Batch: TypeAlias = Callable[[Any], Any]


class OnRay:
    """Ray; `memory` is the size of its object store in bytes."""

    def __init__(self, workers: int, memory: int = 300 << 20) -> None:
        self._ray, self._data = import_module("ray"), import_module("ray.data")
        self._ray.init(
            num_cpus=workers, object_store_memory=memory, include_dashboard=False,
            _node_ip_address=LOCAL, log_to_driver=False, logging_level="error",
        )  # fmt: skip
        self._data.DataContext.get_current().enable_progress_bars = False
        self.kind = self._data.Dataset

    def send(self, frame: pd.DataFrame, parts: int = 1) -> Any:
        """Return blocks of Arrow."""
        table = pa.Table.from_pandas(frame, preserve_index=False)
        return self._data.from_arrow(table).repartition(parts)

    def read(self, folder: Path) -> Any:
        """Return a dataset that reads lazily."""
        return self._data.read_parquet(str(folder))

    def back(self, table: Any) -> pd.DataFrame:
        """Return all blocks as one frame."""
        blocks = self._ray.get(table.to_arrow_refs())
        return pa.concat_tables([one for one in blocks if one.num_rows]).to_pandas()

    def through(self, table: Any, function: Batch) -> Any:
        """Apply a function block by block."""
        return table.map_batches(function, batch_format="pyarrow", batch_size=None)

    def stop(self) -> None:
        """End Ray."""
        self._ray.shutdown()


class OnDask:
    """Dask with one process per worker."""

    def __init__(self, workers: int, memory: int = 0) -> None:
        distributed = import_module("dask.distributed")
        self._frames = import_module("dask.dataframe")
        self._cluster = distributed.LocalCluster(
            n_workers=workers, threads_per_worker=1, host=LOCAL, dashboard_address=f"{LOCAL}:0"
        )
        self._client = distributed.Client(self._cluster)
        self.kind = self._frames.DataFrame

    def send(self, frame: pd.DataFrame, parts: int = 1) -> Any:
        """Return partitions of pandas."""
        return self._frames.from_pandas(frame, npartitions=parts, sort=False)

    def read(self, folder: Path) -> Any:
        """Return a frame that reads lazily."""
        return self._frames.read_parquet(folder)

    def back(self, table: Any) -> pd.DataFrame:
        """Return all partitions as one frame."""
        found: pd.DataFrame = table.compute().reset_index(drop=True)
        return found

    def through(self, table: Any, function: Batch) -> Any:
        """Apply a function partition by partition."""
        return table.map_partitions(function, meta=table._meta)

    def stop(self) -> None:
        """End the workers."""
        self._client.close()
        self._cluster.close()


class OnSpark:
    """Spark in local mode; a task may fail three times."""

    options: ClassVar[dict[str, str]] = {}  # in addition to the common ones
    static = True  # whether settings other than those of queries are possible

    def __init__(self, workers: int, memory: int = 0) -> None:
        os.environ["SPARK_LOCAL_IP"] = LOCAL
        sql = import_module("pyspark.sql")
        options = {
            "spark.ui.enabled": "false",
            "spark.driver.bindAddress": LOCAL,
            "spark.driver.host": LOCAL,
            "spark.driver.memory": "3g",
            "spark.sql.shuffle.partitions": "4",
            "spark.sql.session.timeZone": "UTC",
            "spark.sql.timestampType": "TIMESTAMP_NTZ",  # for times without a zone
            "spark.log.level": "OFF",
        }
        builder = self.begun(sql.SparkSession.builder, workers)
        for name, value in (options | self.options).items():
            if self.static or name.startswith("spark.sql."):
                builder = builder.config(name, value)
        self._session = builder.getOrCreate()
        self.kind = sql.DataFrame

    def begun(self, builder: Any, workers: int) -> Any:
        """Return the builder of a session with this many workers."""
        return builder.master(f"local[{workers},4]")

    def send(self, frame: pd.DataFrame, parts: int = 1) -> Any:
        """Return partitions of rows."""
        table = pa.Table.from_pandas(frame, preserve_index=False)
        return self._session.createDataFrame(table).repartition(parts)

    def read(self, folder: Path) -> Any:
        """Return a frame that reads lazily."""
        return self._session.read.parquet(str(folder))

    def back(self, table: Any) -> pd.DataFrame:
        """Return all partitions as one frame."""
        found: pd.DataFrame = table.toArrow().to_pandas()
        return found

    def through(self, table: Any, function: Batch) -> Any:
        """Apply a function batch by batch."""

        def each(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            return (function(batch) for batch in batches)

        return table.mapInArrow(each, table.schema)

    def stop(self) -> None:
        """End the session."""
        self._session.stop()


class OnSparkCluster(OnSpark):
    """Spark with a server and workers, each a process with its own address.

    Slow tasks run a second time, which Spark does only on another host.
    """

    options: ClassVar[dict[str, str]] = {
        "spark.speculation": "true",
        "spark.speculation.interval": "100ms",
        "spark.speculation.minTaskRuntime": "1s",
        "spark.speculation.multiplier": "1.1",
        "spark.speculation.quantile": "0.5",
        "spark.sql.adaptive.enabled": "false",  # which would merge little data into one task
        "spark.executor.memory": "512m",
    }

    def begun(self, builder: Any, workers: int) -> Any:
        """Return a session on a server that is started for it."""
        with socket.socket() as free:
            free.bind((LOCAL, 0))
            port = str(free.getsockname()[1])
        self._processes: list[subprocess.Popen[bytes]] = []
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self._start("master.Master", LOCAL, "--port", port)
        for k in range(workers):
            size = ["--cores", "2", "--memory", "1g"]
            self._start("worker.Worker", f"127.0.0.{2 + k}", *size, f"spark://{LOCAL}:{port}")
        return builder.master(f"spark://{LOCAL}:{port}")

    def _start(self, name: str, host: str, *arguments: str) -> None:
        home = Path(str(import_module("pyspark").__file__)).parent
        program = str(home / "bin" / "spark-class")
        command = [program, f"org.apache.spark.deploy.{name}", "--host", host, "--webui-port", "0"]
        folder = self._folder.name  # for the workers' files
        own = {"SPARK_LOCAL_IP": host, "SPARK_HOME": str(home), "SPARK_WORKER_DIR": folder}
        process = subprocess.Popen(
            [*command, *arguments],
            cwd=folder,
            env=os.environ | own,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._processes.append(process)

    def stop(self) -> None:
        """End the session and the processes."""
        super().stop()
        for process in self._processes:
            process.terminate()
            process.wait()
        self._folder.cleanup()


class OnSparkConnect(OnSpark):
    """A client of Spark Connect, with its server in local mode."""

    static = False

    def begun(self, builder: Any, workers: int) -> Any:
        """Return the builder of a session; the server is a process on this machine."""
        return builder.remote(f"local[{workers},4]")


CLUSTERS: dict[str, Any] = {
    "ray": OnRay,
    "dask": OnDask,
    "spark": OnSpark,
    "spark-cluster": OnSparkCluster,
    "spark-connect": OnSparkConnect,
}
