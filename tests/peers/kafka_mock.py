"""librdkafka's mock cluster as brokers, and librdkafka itself as a producer and a consumer, for the tests of Kafka.

    kafka_mock.py <control port>

Commands come as lines of JSON to the control port; each is answered with one:

    {"bootstrap": []}                        says where its brokers are
    {"make": [topic, partitions]}            makes a topic
    {"leader": [topic, partition, broker]}   moves a partition
    {"refuse": [code, count]}                the next Produce requests, one of a broker each, are answered with this error
    {"down": broker}, {"up": broker}         a broker that is not there: its connections break, new ones are refused
    {"put": [topic, partition, key, hex, codec]}   a record by librdkafka's producer; key and value may be null. A time in
                                             ms behind the codec: stamped with that
    {"damage": [topic, partition]}           a batch of three records whose bytes make no sense
    {"mark": [topic, partition]}             the end of a transaction
    {"hollow": [topic, partition]}           an offset without a record
    {"read": topic}                          all records, by librdkafka's consumer

The cluster is made with librdkafka's own C functions: its Python package has no way to ask it for more than brokers.
"""

import ctypes
import json
import pathlib
import socket
import struct
import sys

import confluent_kafka
from confluent_kafka import Consumer, Producer, TopicPartition

BROKERS = 3
PRODUCE = 0
PATIENCE_S = 10


def library():
    """The librdkafka that the Python package has brought."""
    package = pathlib.Path(confluent_kafka.__file__).parent
    found = sorted(package.parent.glob("confluent_kafka.libs/librdkafka*.so*"))
    library = ctypes.CDLL(str(found[0]))
    library.rd_kafka_new.restype = ctypes.c_void_p
    library.rd_kafka_new.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]
    library.rd_kafka_mock_cluster_new.restype = ctypes.c_void_p
    library.rd_kafka_mock_cluster_new.argtypes = [ctypes.c_void_p, ctypes.c_int]
    library.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
    library.rd_kafka_mock_cluster_bootstraps.argtypes = [ctypes.c_void_p]
    library.rd_kafka_mock_topic_create.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_int]
    library.rd_kafka_mock_partition_set_leader.argtypes = [
        ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int32, ctypes.c_int32]
    library.rd_kafka_mock_push_request_errors_array.argtypes = [
        ctypes.c_void_p, ctypes.c_int16, ctypes.c_size_t, ctypes.POINTER(ctypes.c_int)]
    library.rd_kafka_mock_broker_set_down.argtypes = [ctypes.c_void_p, ctypes.c_int32]
    library.rd_kafka_mock_broker_set_up.argtypes = [ctypes.c_void_p, ctypes.c_int32]
    return library


class Cluster:
    def __init__(self):
        self.library = library()
        # Any instance will do: the cluster lives in its thread.
        reason = ctypes.create_string_buffer(512)
        instance = self.library.rd_kafka_new(0, None, reason, 512)
        self.cluster = self.library.rd_kafka_mock_cluster_new(instance, BROKERS)
        self.brokers = self.library.rd_kafka_mock_cluster_bootstraps(self.cluster).decode()

    def bootstrap(self):
        return self.brokers

    def make(self, topic, partitions):
        self.checked(self.library.rd_kafka_mock_topic_create(self.cluster, topic.encode(), partitions, BROKERS))

    def leader(self, topic, partition, broker):
        moved = self.library.rd_kafka_mock_partition_set_leader(self.cluster, topic.encode(), partition, broker)
        self.checked(moved)

    def refuse(self, code, count):
        errors = (ctypes.c_int * count)(*[code] * count)
        self.library.rd_kafka_mock_push_request_errors_array(self.cluster, PRODUCE, count, errors)

    def down(self, broker):
        self.checked(self.library.rd_kafka_mock_broker_set_down(self.cluster, broker))

    def up(self, broker):
        self.checked(self.library.rd_kafka_mock_broker_set_up(self.cluster, broker))

    def put(self, topic, partition, key, value, codec, time_ms=0):
        said = []
        producer = Producer({"bootstrap.servers": self.brokers, "compression.type": codec, "linger.ms": 0})
        value = None if value is None else bytes.fromhex(value)
        # What would not become shorter is not compressed.
        filler = {} if codec == "none" else {"filler": "x" * 1000}
        said_of = lambda error, _: said.append(error)
        producer.produce(topic, value, key, partition, headers=filler, timestamp=time_ms, on_delivery=said_of)
        producer.flush(PATIENCE_S)
        if said != [None]:
            raise RuntimeError(f"not delivered: {said}")

    def damage(self, topic, partition):
        """A codec that there is not."""
        self.write(topic, partition, batch(7, 3, b"\x00" * 30))

    def mark(self, topic, partition):
        """What ends a transaction: a batch of one record that is not for consumers."""
        record = struct.pack(">bbbbhhb6sb", 0, 0, 0, 2 * 4, 0, 1, 2 * 6, b"", 0)
        self.write(topic, partition, batch(0x30, 1, bytes([2 * len(record)]) + record))

    def hollow(self, topic, partition):
        """A batch that has kept its offset and lost its record, as compaction leaves it."""
        self.write(topic, partition, batch(0, 1, b""))

    def write(self, topic, partition, batch):
        """A Produce request made by hand, for what no producer sends."""
        name, client = topic.encode(), b"by hand"
        body = struct.pack(">hhiih", -1, -1, 1000, 1, len(name)) + name
        body += struct.pack(">iii", 1, partition, len(batch)) + batch
        request = struct.pack(">hhih", PRODUCE, 7, 1, len(client)) + client + body
        metadata = Producer({"bootstrap.servers": self.brokers}).list_topics(topic, PATIENCE_S)
        broker = metadata.brokers[metadata.topics[topic].partitions[partition].leader]
        with socket.create_connection((broker.host, broker.port), PATIENCE_S) as leader:
            leader.sendall(struct.pack(">i", len(request)) + request)
            answer = leader.recv(4096)
        # Length, correlation, one topic with its name, one partition, its number; then the error.
        (error,) = struct.unpack_from(">h", answer, 4 + 4 + 4 + 2 + len(name) + 4 + 4)
        self.checked(error)

    def read(self, topic):
        consumer = Consumer({"bootstrap.servers": self.brokers, "group.id": "none", "enable.partition.eof": True,
                             "enable.auto.commit": False})
        partitions = consumer.list_topics(topic, PATIENCE_S).topics[topic].partitions
        consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
        records, ended = [], set()
        while len(ended) < len(partitions):
            message = consumer.poll(PATIENCE_S)
            if message is None:
                raise RuntimeError("nothing more, and no end")
            if message.error() is None:
                key = message.key() and message.key().decode(errors="replace")
                value = message.value() and message.value().hex()
                place = {"partition": message.partition(), "offset": message.offset()}
                records.append({**place, "key": key, "hex": value})
            elif message.error().code() == confluent_kafka.KafkaError._PARTITION_EOF:
                ended.add(message.partition())
            else:
                raise RuntimeError(str(message.error()))
        consumer.close()
        return records

    @staticmethod
    def checked(code):
        if code:
            raise RuntimeError(f"librdkafka says {code}")


def batch(attributes, count, records):
    """Version 2 of a batch of records, with its checksum."""
    body = struct.pack(">hiqqqhii", attributes, count - 1, 0, 0, -1, -1, -1, count) + records
    body = struct.pack(">iBI", 0, 2, crc32c(body)) + body
    return struct.pack(">qi", 0, len(body)) + body


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def main():
    cluster = Cluster()
    server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
    while True:
        connection, _ = server.accept()
        with connection, connection.makefile("rw") as lines:
            for line in lines:
                ((command, given),) = json.loads(line).items()
                given = given if isinstance(given, list) else [given]
                try:
                    answer = {"said": getattr(cluster, command)(*given)}
                except Exception as error:
                    answer = {"error": f"{command}: {error}"}
                print(json.dumps(answer), file=lines, flush=True)


main()
