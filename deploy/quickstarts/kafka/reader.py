"""Reads Curfew's log from Kafka: every record a line of JSON, decoded by the published descriptor set alone."""

import argparse
import json
import uuid
from pathlib import Path

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from kafka import KafkaConsumer, TopicPartition

# The newest format that this reader knows: what asks for a newer one is not applied, and nothing is fresh behind it.
READER = 1

arguments = argparse.ArgumentParser(description=__doc__)
arguments.add_argument("bootstrap", help="brokers: host:port, several with commas between")
arguments.add_argument("--topic", default="curfew.revocations.v1")
arguments.add_argument("--set", type=Path, default=Path(__file__).parents[3] / "proto" / "curfew.binpb")
arguments.add_argument("--to-end", action="store_true", help="end where the log ended at the start")
asked = arguments.parse_args()

pool = descriptor_pool.DescriptorPool()
for file in descriptor_pb2.FileDescriptorSet.FromString(asked.set.read_bytes()).file:
    pool.Add(file)
Envelope = message_factory.GetMessageClass(pool.FindMessageTypeByName("curfew.log.v1.Envelope"))


def plain(value):
    """Names as in log.proto; 16 bytes are an id, other bytes are hexadecimal."""
    if isinstance(value, bytes):
        return str(uuid.UUID(bytes=value)) if len(value) == 16 else value.hex()
    if hasattr(value, "ListFields"):
        return {field.name: plain(inner) for field, inner in value.ListFields()}
    if hasattr(value, "append"):
        return [plain(inner) for inner in value]
    return value


def told(record) -> dict:
    line = {"partition": record.partition, "offset": record.offset, "appended_ms": record.timestamp}
    line["headers"] = {name: value.decode() for name, value in record.headers}
    try:
        envelope = Envelope.FromString(record.value or b"")
    except Exception as malformed:
        return line | {"unreadable": str(malformed)}
    # The value alone decides; headers repeat what it says.
    kind = envelope.WhichOneof("body")
    if kind is None or envelope.min_reader > READER:
        return line | {"unreadable": f"it asks for a reader of format {envelope.min_reader}"}
    return line | {"kind": kind, "trace": envelope.trace, kind: plain(getattr(envelope, kind))}


# No group: every reader reads every partition, and keeps its own positions. A position that the topic
# has dropped is an error, because whoever went on at the end would have missed revocations.
# TLS and SASL are further arguments here.
consumer = KafkaConsumer(
    bootstrap_servers=asked.bootstrap.split(","),
    group_id=None,
    enable_auto_commit=False,
    auto_offset_reset="none",
)
partitions = [TopicPartition(asked.topic, number) for number in consumer.partitions_for_topic(asked.topic) or ()]
if not partitions:
    raise SystemExit(f"there is no topic {asked.topic}, or it may not be read")
consumer.assign(partitions)
for partition, start in consumer.beginning_offsets(partitions).items():
    consumer.seek(partition, start)
ends = consumer.end_offsets(partitions)
while not asked.to_end or any(consumer.position(partition) < end for partition, end in ends.items()):
    for records in consumer.poll(timeout_ms=500).values():
        for record in records:
            print(json.dumps(told(record)), flush=True)
consumer.close()
