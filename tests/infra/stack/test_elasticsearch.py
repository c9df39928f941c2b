"""An Elasticsearch of our own: answers when it says so, found again after any crash."""

import os
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest

from horae.infra.stack import ElasticsearchServer

pytestmark = [pytest.mark.stack, pytest.mark.timeout(900)]


def _put(url: str, index: str, key: str, version: int, document: dict[str, Any]) -> int:
    """The status of storing a document whose version we count ourselves."""
    params: dict[str, str | int] = {"version": version, "version_type": "external", "refresh": "true"}
    return httpx.put(f"{url}/{index}/_doc/{key}", params=params, json=document, timeout=60).status_code


def _found(url: str, index: str, words: str) -> list[str]:
    answer = httpx.get(f"{url}/{index}/_search", params={"q": words}, timeout=60).raise_for_status().json()
    return [hit["_id"] for hit in answer["hits"]["hits"]]


def test_what_is_stored_is_found(elasticsearch: ElasticsearchServer, index_prefix: str) -> None:
    """A started server indexes at once, keeps the newest version, and finds by words."""
    index = f"{index_prefix}schedules"
    assert _put(elasticsearch.url, index, "a", 7, {"subject": "invoice overdue"}) == 201
    assert _put(elasticsearch.url, index, "a", 6, {"subject": "older"}) == 409
    assert _found(elasticsearch.url, index, "invoice") == ["a"]


def test_a_kill_loses_nothing_and_moves_nothing(elasticsearch: ElasticsearchServer, index_prefix: str) -> None:
    """After SIGKILL the next start has the same address and every document, ready to be searched."""
    index = f"{index_prefix}schedules"
    _put(elasticsearch.url, index, "a", 1, {"subject": "kept"})
    before, pid = elasticsearch.url, elasticsearch.pid
    elasticsearch.kill()
    assert not elasticsearch.running
    elasticsearch.start()
    assert (elasticsearch.url, elasticsearch.pid != pid) == (before, True)
    assert _found(elasticsearch.url, index, "kept") == ["a"]


def test_it_does_not_outlive_its_launcher(elasticsearch: ElasticsearchServer) -> None:
    """The process that we start has started the server; killing only the first leaves none that bars the next start."""
    os.kill(elasticsearch.pid, signal.SIGKILL)
    elasticsearch.ended.wait()
    elasticsearch.start()
    assert httpx.get(f"{elasticsearch.url}/_cluster/health", timeout=60).json()["number_of_nodes"] == 1


def test_it_does_not_run_as_root(elasticsearch: ElasticsearchServer) -> None:
    """Whoever starts it; and Ctrl-C does not reach it."""
    assert Path(f"/proc/{elasticsearch.pid}").stat().st_uid != 0
    assert os.getsid(elasticsearch.pid) == elasticsearch.pid
