"""The broker that is Apache Kafka: the one room that imports confluent_kafka.

    KafkaConsumer   static member, cooperative-sticky, read_committed; commits only through a transaction
    KafkaProducer   transactional; its transactional id is its identity
    KafkaBroker     makes both, reads single partitions without a group, and looks after topics

What librdkafka reports becomes one of our errors by `answers.meaning_of`. The user's settings pass through
to librdkafka; those that the guarantees rest on (DESIGN section 6) are refused.
"""

from detector.broker.kafka.broker import KafkaBroker
from detector.broker.kafka.consumer import KafkaConsumer
from detector.broker.kafka.producer import KafkaProducer

__all__ = ["KafkaBroker", "KafkaConsumer", "KafkaProducer"]
