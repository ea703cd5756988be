import java.io.IOException;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.serialization.AbstractDeserializationSchema;
import org.apache.flink.api.common.serialization.SerializationSchema;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.PrimitiveArrayTypeInfo;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;

/** The smaller job on Flink, exactly once: `java FlinkJob TASK.json STATE`, a cluster in one JVM, until SIGTERM. */
public final class FlinkJob {
  private static final class Parsing extends AbstractDeserializationSchema<Job.Call> {
    Parsing() {
      super(Job.Call.class);
    }

    @Override
    public Job.Call deserialize(byte[] json) throws IOException {
      return Job.parse(json);
    }
  }

  private static final class Scoring extends KeyedProcessFunction<String, Job.Call, byte[]> {
    private final Job job;
    private transient ValueState<long[]> state;

    Scoring(Job job) {
      this.job = job;
    }

    @Override
    public void open(OpenContext context) {
      state =
          getRuntimeContext()
              .getState(new ValueStateDescriptor<>("panes", PrimitiveArrayTypeInfo.LONG_PRIMITIVE_ARRAY_TYPE_INFO));
    }

    @Override
    public void processElement(Job.Call call, Context context, Collector<byte[]> out) throws IOException {
      long[] panes = job.count(state.value(), call);
      state.update(panes);
      double score = job.score(panes);
      if (job.decides(score)) out.collect(Job.decision(call, score));
    }
  }

  private static final class AsItIs implements SerializationSchema<byte[]> {
    @Override
    public byte[] serialize(byte[] value) {
      return value;
    }
  }

  public static void main(String[] arguments) throws Exception {
    Job job = Job.read(arguments[0]);
    Configuration settings = new Configuration();
    // State fits into memory, where it is an object and not bytes; RocksDB would serialize it with every record.
    settings.setString("state.backend.type", "hashmap");
    settings.setString("execution.checkpointing.storage", "filesystem");
    settings.setString("execution.checkpointing.dir", "file://" + arguments[1]);
    settings.setString("execution.checkpointing.mode", "EXACTLY_ONCE");
    settings.setString("execution.checkpointing.interval", job.commitMs + " ms");
    settings.setString("taskmanager.numberOfTaskSlots", Integer.toString(job.threads));
    // The hashmap backend uses no managed memory: what it does not take is the heap's.
    settings.setString("taskmanager.memory.managed.size", "16m");
    // Chained operators pass records on instead of copies; ours keep none of them.
    settings.setString("pipeline.object-reuse", "true");
    // Nothing falls back to Kryo, which its documentation calls the slowest way, unnoticed.
    settings.setString("pipeline.generic-types", "false");
    StreamExecutionEnvironment flow = StreamExecutionEnvironment.getExecutionEnvironment(settings);
    flow.setParallelism(job.threads);
    KafkaSource<Job.Call> records =
        KafkaSource.<Job.Call>builder()
            .setBootstrapServers(job.bootstrap)
            .setTopics(job.topic)
            .setGroupId(job.group)
            .setStartingOffsets(OffsetsInitializer.earliest())
            .setProperty("max.poll.records", "5000")
            .setValueOnlyDeserializer(new Parsing())
            .build();
    KafkaSink<byte[]> decisions =
        KafkaSink.<byte[]>builder()
            .setBootstrapServers(job.bootstrap)
            .setDeliveryGuarantee(DeliveryGuarantee.EXACTLY_ONCE)
            .setTransactionalIdPrefix(job.group)
            // Its default of an hour is more than a broker allows.
            .setProperty("transaction.timeout.ms", "600000")
            .setRecordSerializer(
                KafkaRecordSerializationSchema.<byte[]>builder()
                    .setTopic(job.decisions)
                    .setValueSerializationSchema(new AsItIs())
                    .build())
            .build();
    flow.fromSource(records, WatermarkStrategy.noWatermarks(), "records")
        .keyBy(call -> call.caller)
        .process(new Scoring(job))
        .sinkTo(decisions);
    flow.execute(job.group);
  }
}
