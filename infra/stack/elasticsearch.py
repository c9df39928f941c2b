"""A real Elasticsearch of one node, for this machine: plain HTTP on 127.0.0.1, without accounts.

Place in the flow: `LocalStack`, `horae run --profile stack` and the tests start it; everybody else gets `url`.
"""

from __future__ import annotations

import http.client
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final

from horae.infra.stack.maven import ELASTICSEARCH, Bundle
from horae.infra.stack.server import HOST, JvmServer, Launch

_SETTINGS: Final[dict[str, str | int | bool]] = {
    "cluster.name": "horae",
    "node.name": "horae-1",
    "discovery.type": "single-node",
    "network.host": HOST,
    "xpack.security.enabled": False,
    # A disk that is rather full (the default: 95 %) would make every index read-only.
    "cluster.routing.allocation.disk.threshold_enabled": False,
}
#: Only to its output, which is our log; the distribution's own would write two more files each.
_LOGGING: Final = """\
status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = [%d{ISO8601}][%-5p][%-25c{1.}] %m%consoleException%n
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
"""
_ANSWER_WITHIN_S: Final = 10.0


class ElasticsearchServer(JvmServer):
    """One node on one folder. It has no modules: what it can do is said in the package's ADR."""

    title: ClassVar[str] = "Elasticsearch"
    bundle: ClassVar[Bundle] = ELASTICSEARCH
    port_names: ClassVar[Sequence[str]] = ("http", "transport")
    still_locked: ClassVar[Sequence[str]] = ("failed to obtain node lock",)

    @property
    def url(self) -> str:
        """What clients are given: `http://127.0.0.1:PORT`."""
        return f"http://{HOST}:{self.port}"

    def _prepare(self, launch: Launch) -> None:
        data = self._folder.make_inner(launch.user, self._folder.data.name)
        config = self._config(launch)
        settings = {
            **_SETTINGS,
            "http.port": self._ports["http"],
            "transport.port": self._ports["transport"],
            "path.data": str(data),
            "path.logs": str(self._folder.tmp),
        }
        # Each value as JSON, which is YAML.
        lines = [f"{name}: {json.dumps(value)}\n" for name, value in settings.items()]
        (config / "elasticsearch.yml").write_text("".join(lines))
        (config / "log4j2.properties").write_text(_LOGGING)

    def _command(self, launch: Launch) -> list[str]:
        return [str(launch.programs / "bin" / "elasticsearch")]

    def _environment(self, launch: Launch) -> dict[str, str]:
        heap = f"-Xms{self._heap_mb}m -Xmx{self._heap_mb}m -XX:-HeapDumpOnOutOfMemoryError"
        # Without the distribution's garbage collection log, 2 GB in time.
        said = "-Xlog:disable -Xlog:all=warning:stderr:utctime,level,tags -XX:+PerfDisableSharedMem"
        environment = super()._environment(launch)
        del environment["JAVA_HOME"]  # it warns of it, and uses its own name
        return environment | {
            "ES_JAVA_HOME": str(launch.java.home),
            "ES_JAVA_OPTS": " ".join([heap, said, *self._compiling]),
            "ES_PATH_CONF": str(self._folder.path / "config"),
            "ES_TMPDIR": str(self._folder.tmp),
            "CLI_JAVA_OPTS": "-XX:TieredStopAtLevel=1 -XX:+PerfDisableSharedMem",
        }

    def _answers(self) -> bool:
        """Whether the cluster is formed, every index of earlier lives found, and all its primary shards started."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=_ANSWER_WITHIN_S)
        try:
            connection.request("GET", "/_cluster/health")
            answer = connection.getresponse()
            health = json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError):
            return False
        finally:
            connection.close()
        return answer.status == http.client.OK and health["status"] in ("green", "yellow")

    def _config(self, launch: Launch) -> Path:
        """The folder of its configuration, which it writes to (its keystore), laid anew from the distribution's."""
        config = self._folder.make_inner(launch.user, "config")
        shutil.copytree(launch.programs / "config", config, dirs_exist_ok=True)
        for path in (config, *config.rglob("*")):
            launch.user.own(path)
        return config
