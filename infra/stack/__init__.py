"""The servers of the stack profile on this machine, without containers: fetched by Maven, run as our own children.

Place in the flow: below `horae stack`, `horae run --profile stack` and the tests. A deployment that has its own Kafka
and Elasticsearch needs none of this, just their addresses in the settings.
"""

from horae.infra.stack.elasticsearch import ElasticsearchServer
from horae.infra.stack.java import MissingTool, StackError
from horae.infra.stack.kafka import KafkaServer
from horae.infra.stack.local import LocalStack

__all__ = ["ElasticsearchServer", "KafkaServer", "LocalStack", "MissingTool", "StackError"]
