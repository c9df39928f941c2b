"""A real Kafka broker of one node (KRaft: it is its own controller), for this machine.

Place in the flow: `LocalStack`, `horae run --profile stack` and the tests start it; everybody else gets `bootstrap`.
"""

from __future__ import annotations

import base64
import os
import socket
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final

from horae.infra.stack.java import StackError
from horae.infra.stack.maven import KAFKA, Bundle
from horae.infra.stack.server import HOST, JvmServer, Launch

_SETTINGS: Final = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    # One node keeps the only copy of everything.
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    # One node needs few: each partition of these is opened at every start.
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.num.partitions": "4",
    # A consumer that is alone begins at once; one that was killed is missed as soon as Kafka allows.
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "6000",
    # A misspelt topic is an error and not a new topic.
    "auto.create.topics.enable": "false",
    # What Kafka holds can be made again from the event store: topics that say nothing else keep a day.
    "log.retention.hours": "24",
    "log.segment.bytes": str(256 * 1024 * 1024),
    # Taken whole from the heap, for compaction that few topics use; the default is 128 MB.
    "log.cleaner.dedupe.buffer.size": str(16 * 1024 * 1024),
    "num.io.threads": "4",
}
#: Asks for the cluster's brokers without topics: Metadata, version 1, correlation id 1, no client id.
_METADATA_REQUEST: Final = struct.pack(">ihhihi", 14, 3, 1, 1, -1, 0)
_ANSWER_WITHIN_S: Final = 5.0


class KafkaServer(JvmServer):
    """One broker on one folder. Topics are not made by using them."""

    title: ClassVar[str] = "Kafka"
    bundle: ClassVar[Bundle] = KAFKA
    port_names: ClassVar[Sequence[str]] = ("clients", "controller")
    still_locked: ClassVar[Sequence[str]] = ("Failed to acquire lock on file",)

    @property
    def bootstrap(self) -> str:
        """What clients are given: `127.0.0.1:PORT`."""
        return f"{HOST}:{self.port}"

    def _prepare(self, launch: Launch) -> None:
        data = self._folder.make_inner(launch.user, self._folder.data.name)
        settings = {**_SETTINGS, **self._listening(), "log.dirs": str(data)}
        self._properties.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        self._properties.chmod(0o644)
        if not (data / "meta.properties").exists():
            self._format(launch)

    def _listening(self) -> dict[str, str]:
        """Of its properties those that say where it listens, and how."""
        clients, controller = (f"{HOST}:{self._ports[name]}" for name in ("clients", "controller"))
        return {
            "controller.quorum.voters": f"1@{controller}",
            "listeners": f"PLAINTEXT://{clients},CONTROLLER://{controller}",
            "advertised.listeners": f"PLAINTEXT://{clients}",
        }

    def _command(self, launch: Launch) -> list[str]:
        heap = [f"-Xms{self._heap_mb // 2}m", f"-Xmx{self._heap_mb}m", "-XX:+ExitOnOutOfMemoryError"]
        return [*self._java(launch), *self._compiling, *heap, "kafka.Kafka", str(self._properties)]

    def _answers(self) -> bool:
        """Whether it names itself as a broker: its port is open before it takes part."""
        try:
            with socket.create_connection((HOST, self.port), timeout=_ANSWER_WITHIN_S) as connection:
                connection.sendall(_METADATA_REQUEST)
                with connection.makefile("rb") as answer:
                    _size, _correlation, brokers = struct.unpack(">iii", answer.read(12))
        except (OSError, struct.error):
            return False
        return bool(brokers > 0)

    @property
    def _properties(self) -> Path:
        return self._folder.path / "server.properties"

    def _java(self, launch: Launch) -> list[str]:
        said = ["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true"]
        said.append("-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSX")
        files = [f"-Djava.io.tmpdir={self._folder.tmp}", "-XX:+PerfDisableSharedMem", "-cp", f"{launch.programs}/*"]
        return [str(launch.java.program), "-Djava.awt.headless=true", *said, *files]

    def _format(self, launch: Launch) -> None:
        """Give the new data folder its cluster's id; repeated safely when it was interrupted."""
        user = launch.user
        # A leading dash, which base64 can give, would be read as an option.
        cluster = bytes([os.urandom(1)[0] & 0x7F]) + os.urandom(15)
        command = [*self._java(launch), "-XX:TieredStopAtLevel=1", "kafka.tools.StorageTool", "format"]
        command += ["-t", base64.urlsafe_b64encode(cluster).decode().rstrip("="), "-g", "-c", str(self._properties)]
        done = subprocess.run(  # noqa: S603  our own programs and settings
            command,
            user=None if user.is_us else user.uid,
            group=None if user.is_us else user.gid,
            extra_groups=None if user.is_us else [],
            env=self._environment(launch),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode != 0:
            raise StackError(f"Kafka's storage cannot be made in {self._folder.data}: {done.stdout.strip()[-1000:]}")
