import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.util.Properties;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/** The smaller job on Kafka Streams, exactly once (v2): `java KafkaStreamsJob TASK.json STATE`, until SIGTERM. */
public final class KafkaStreamsJob {
  private static final String STORE = "panes";

  private static final class Scoring implements Processor<byte[], byte[], byte[], byte[]> {
    private final Job job;
    private ProcessorContext<byte[], byte[]> context;
    private KeyValueStore<byte[], long[]> store;

    Scoring(Job job) {
      this.job = job;
    }

    @Override
    public void init(ProcessorContext<byte[], byte[]> context) {
      this.context = context;
      store = context.getStateStore(STORE);
    }

    @Override
    public void process(Record<byte[], byte[]> record) {
      Job.Call call;
      try {
        call = Job.parse(record.value());
      } catch (IOException error) {
        throw new UncheckedIOException(error);
      }
      // The records come keyed by caller: nothing is sent through a repartition topic.
      long[] panes = job.count(store.get(record.key()), call);
      store.put(record.key(), panes);
      double score = job.score(panes);
      if (job.decides(score)) context.forward(record.withValue(Job.decision(call, score)));
    }
  }

  private static Serde<long[]> longs() {
    return Serdes.serdeFrom(
        (topic, panes) -> {
          ByteBuffer bytes = ByteBuffer.allocate(8 * panes.length);
          bytes.asLongBuffer().put(panes);
          return bytes.array();
        },
        (topic, bytes) -> {
          if (bytes == null) return null;
          long[] panes = new long[bytes.length / 8];
          ByteBuffer.wrap(bytes).asLongBuffer().get(panes);
          return panes;
        });
  }

  public static void main(String[] arguments) throws IOException {
    Job job = Job.read(arguments[0]);
    Properties settings = new Properties();
    settings.put(StreamsConfig.APPLICATION_ID_CONFIG, job.group);
    settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, job.bootstrap);
    settings.put(StreamsConfig.STATE_DIR_CONFIG, arguments[1]);
    settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
    settings.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
    // A thread a core: tasks of four partitions are shared among them.
    settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, job.threads);
    // Exactly once commits every 100 ms unless told otherwise; its documentation trades latency for throughput here.
    settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, job.commitMs);
    // The record cache lets one write to the changelog stand for all of a caller's between two commits.
    settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 256L << 20);
    settings.put(StreamsConfig.consumerPrefix("auto.offset.reset"), "earliest");
    settings.put(StreamsConfig.consumerPrefix("max.poll.records"), 5_000);
    settings.put(StreamsConfig.producerPrefix("batch.size"), 256 << 10);
    Topology topology = new Topology();
    topology.addSource("records", new ByteArrayDeserializer(), new ByteArrayDeserializer(), job.topic);
    topology.addProcessor("scoring", () -> new Scoring(job), "records");
    // State fits into memory and its changelog restores it, so it need not go through RocksDB.
    topology.addStateStore(
        Stores.keyValueStoreBuilder(Stores.inMemoryKeyValueStore(STORE), Serdes.ByteArray(), longs())
            .withCachingEnabled(),
        "scoring");
    topology.addSink("decisions", job.decisions, new ByteArraySerializer(), new ByteArraySerializer(), "scoring");
    KafkaStreams streams = new KafkaStreams(topology, settings);
    Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
    streams.start();
  }
}
