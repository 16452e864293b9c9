"""Kafka as a source: each partition of a topic, from the ledger's position, by one reader.

It uses no consumer group and leaves the broker's offsets alone. To share work, give each marketplace a topic and each
topic a feed.
"""

from collections.abc import Mapping, Sequence

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from scoring.base.errors import ConfigurationWrong, SourceUnavailable
from service.ingest.sources.source import Message

ANSWER_SECONDS = 10.0
_GONE = (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE)
_REFUSED = (
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError._AUTHENTICATION,
)
_NO_TOPIC = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION)
_NO_LOG = 0


class KafkaSource:
    """`servers` is `host:port,host:port`; `settings` are librdkafka's, such as `sasl.username`.

    Raises ConfigurationWrong for a bad setting.
    """

    def __init__(self, servers: str, topic: str, settings: Mapping[str, str] | None = None, name: str = "") -> None:
        self.name = name or f"kafka://{servers}/{topic}"
        self._topic = topic
        fixed = {
            "bootstrap.servers": servers,
            "group.id": "sellertrust",  # librdkafka needs one; it is never joined
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",  # missing positions must not be skipped silently
            "allow.auto.create.topics": False,
            "isolation.level": "read_committed",
            "log_level": _NO_LOG,
        }
        try:
            self._consumer = Consumer(dict(settings or {}) | fixed)
        except KafkaException as error:
            raise ConfigurationWrong(f"the settings for Kafka cannot be used: {error.args[0].str()}") from None
        self._at_end: dict[int, bool] = {}
        self._failure: KafkaError | None = None

    def partitions(self) -> Sequence[int]:
        """Ask the broker for the topic's partitions, sorted; raises as `Source`."""
        try:
            topic = self._consumer.list_topics(self._topic, timeout=ANSWER_SECONDS).topics[self._topic]
        except KafkaException as error:
            raise self._source_error(error.args[0]) from None
        if topic.error is not None:
            raise self._source_error(topic.error)
        return sorted(topic.partitions)

    def seek(self, partition: int, position: int | None) -> None:
        """Read a partition from this offset on; None: the first message kept."""
        place = TopicPartition(self._topic, partition, OFFSET_BEGINNING if position is None else position)
        try:
            if partition in self._at_end:
                self._consumer.incremental_unassign([TopicPartition(self._topic, partition)])
            self._consumer.incremental_assign([place])
        except KafkaException as error:
            raise self._source_error(error.args[0]) from None
        self._at_end[partition] = False

    def poll(self, limit: int, seconds: float) -> Sequence[Message]:
        """Return at most `limit` messages; an error behind them is raised by the next call."""
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise self._source_error(failure)
        messages: list[Message] = []
        for message in self._consumer.consume(limit, seconds):
            partition, error = message.partition(), message.error()
            if error is None and partition is not None:
                self._at_end[partition] = False
                messages.append(Message(partition, (message.offset() or 0) + 1, _encode_value(message.value())))
            elif error is not None and error.code() == KafkaError._PARTITION_EOF and partition is not None:
                self._at_end[partition] = True
            else:
                self._failure = error
        return messages

    def caught_up(self) -> bool:
        """Return whether each partition was read to its end, without an error since."""
        return self._failure is None and all(self._at_end.values())

    def close(self) -> None:
        self._consumer.close()

    def _source_error(self, error: KafkaError) -> SourceUnavailable | ConfigurationWrong:
        code = error.code()
        if code in _GONE:
            return ConfigurationWrong(
                f"the topic {self._topic} no longer holds, or does not hold yet, where reading is to go on: {error.str()}."
                " If messages expired unread, restate their facts; if the topic was made anew, read it under another --source"
                " name, from its beginning: nothing is added twice"
            )
        if code in _NO_TOPIC:
            return ConfigurationWrong(f"there is no topic {self._topic} on these servers; create it, or mend the name")
        if code in _REFUSED:
            return ConfigurationWrong(f"Kafka refuses this reader: {error.str()}; see --credentials")
        return SourceUnavailable(f"Kafka does not answer: {error.str()}")


def _encode_value(value: bytes | str | None) -> bytes:
    return value.encode() if isinstance(value, str) else value or b""
