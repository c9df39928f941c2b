"""The dispatcher: what is due is claimed, released and recorded, once and on time.

Reading order: `config`, `horizon` (rows in memory), `ready` (who goes first), `endpoints` (send slots and breakers),
`source` (the due index), `reading` (which of it, and whose), `releasing` (one attempt), `dispatcher` (the whole).
"""

from horae.streams.dispatcher.config import DispatcherConfig
from horae.streams.dispatcher.dispatcher import Dispatcher, Pass
from horae.streams.dispatcher.reading import Among, Peers
from horae.streams.dispatcher.source import DueSource, PostgresDueSource

__all__ = ["Among", "Dispatcher", "DispatcherConfig", "DueSource", "Pass", "Peers", "PostgresDueSource"]
