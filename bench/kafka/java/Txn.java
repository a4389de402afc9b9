import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Transactions: writes some and aborts some, copies what was committed from one
 * topic to another in read-process-write transactions (sendOffsetsToTransaction),
 * and reads both topics back.
 *
 * <pre>
 * --bootstrap HOST:PORT   --client-id ID   --transactional-id ID   --group G
 * --topic T               written by step produce, read by step copy
 * --to T                  written by step copy
 * --steps LIST            any of produce,copy,check in order (produce,copy,check)
 * --transactions N        in step produce (6)
 * --records N             in each transaction (50)
 * --abort-every K         abort every K-th transaction of step produce, and the first of step copy once (3)
 * --seconds S             no step starts, and no read goes on, later (60)
 * --prop key=value        any property of the producer
 * </pre>
 *
 * Events: step (op, records: in committed transactions, count: aborted
 * transactions), offsets (topic, partition, number: the group's committed offset),
 * read (topic, name: isolation level, records, sum, repeated), error (op, error,
 * message; the step ends), done (count of errors). When all is well the committed
 * read of both topics has the records that step produce committed, and the
 * uncommitted ones have more.
 */
public final class Txn {
    private final Common.Flags flags;
    private final Common.Errors errors = new Common.Errors();
    private final long end;

    private Txn(Common.Flags flags) {
        this.flags = flags;
        this.end = System.currentTimeMillis() + flags.num("seconds", 60) * 1000;
    }

    /** One step of the program. */
    private interface Step { void run() throws Exception; }

    public static void main(String[] args) {
        Common.Flags flags = new Common.Flags(args, "transactional-id", "group", "topic", "to", "steps", "transactions",
                "records", "abort-every");
        Common.deadline(flags.num("seconds", 60) * 1000 + 30_000);
        Txn txn = new Txn(flags);
        Map<String, Step> steps = Map.of("produce", txn::produce, "copy", txn::copy, "check", txn::check);
        for (String name : flags.get("steps", "produce,copy,check").split(",")) {
            if (txn.over()) break;
            if (!steps.containsKey(name)) Common.usage(name + ": not a step");
            try {
                steps.get(name).run();
            } catch (Exception e) {
                txn.errors.add(name, e);
            }
        }
        txn.errors.summary();
        Common.line("done", "client", flags.get("client-id", ""), "count", txn.errors.total());
    }

    private boolean over() { return System.currentTimeMillis() >= end || Common.stopping(); }

    private KafkaProducer<byte[], byte[]> producer() {
        var p = flags.properties(0, "transactional.id", flags.need("transactional-id"));
        return new KafkaProducer<>(p, new ByteArraySerializer(), new ByteArraySerializer());
    }

    private KafkaConsumer<byte[], byte[]> consumer(String group, String isolation) {
        var p = new java.util.Properties();
        p.put("bootstrap.servers", flags.need("bootstrap"));
        p.put("client.id", flags.get("client-id", ""));
        p.put("auto.offset.reset", "earliest");
        p.put("enable.auto.commit", "false");
        p.put("isolation.level", isolation);
        if (!group.isEmpty()) p.put("group.id", group);
        return new KafkaConsumer<>(p, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    private void produce() {
        long records = flags.num("records", 50);
        long committed = 0;
        long aborted = 0;
        long seq = 0;
        try (var producer = producer()) {
            producer.initTransactions();
            for (long n = 1; n <= flags.num("transactions", 6) && !over(); n++) {
                producer.beginTransaction();
                for (long r = 0; r < records; r++) {
                    byte[] value = new byte[100];
                    Common.Value.fill(value, 1, seq++);
                    producer.send(new ProducerRecord<>(flags.need("topic"), value));
                }
                if (n % flags.num("abort-every", 3) == 0) {
                    producer.flush(); // so that the aborted records are really in the log
                    producer.abortTransaction();
                    aborted++;
                } else {
                    producer.commitTransaction();
                    committed += records;
                }
            }
        }
        Common.line("step", "op", "produce", "records", committed, "count", aborted);
    }

    private void copy() {
        long copied = 0;
        long aborted = 0;
        String topic = flags.need("topic");
        try (var producer = producer(); var consumer = consumer(flags.need("group"), "read_committed")) {
            producer.initTransactions();
            consumer.subscribe(List.of(topic));
            long idle = System.currentTimeMillis();
            while (!over() && (consumer.assignment().isEmpty() || System.currentTimeMillis() - idle < 2000)) {
                ConsumerRecords<byte[], byte[]> got = consumer.poll(Duration.ofMillis(200));
                if (got.isEmpty()) continue;
                idle = System.currentTimeMillis();
                producer.beginTransaction();
                for (ConsumerRecord<byte[], byte[]> r : got) producer.send(new ProducerRecord<>(flags.need("to"), r.value()));
                producer.sendOffsetsToTransaction(got.nextOffsets(), consumer.groupMetadata());
                if (aborted == 0) {
                    producer.flush();
                    producer.abortTransaction();
                    aborted++;
                    consumer.assignment().forEach(tp -> rewind(consumer, tp));
                    continue;
                }
                producer.commitTransaction();
                copied += got.count();
            }
            printOffsets(consumer);
        }
        Common.line("step", "op", "copy", "records", copied, "count", aborted);
    }

    private static void rewind(KafkaConsumer<byte[], byte[]> consumer, TopicPartition tp) {
        OffsetAndMetadata committed = consumer.committed(java.util.Set.of(tp)).get(tp);
        consumer.seek(tp, committed == null ? 0 : committed.offset());
    }

    private static void printOffsets(KafkaConsumer<byte[], byte[]> consumer) {
        consumer.committed(consumer.assignment()).forEach((tp, offset) -> {
            if (offset != null) Common.line("offsets", "topic", tp.topic(), "partition", tp.partition(), "number", offset.offset());
        });
    }

    private void check() {
        for (String topic : List.of(flags.need("topic"), flags.need("to"))) {
            for (String isolation : List.of("read_committed", "read_uncommitted")) read(topic, isolation);
        }
    }

    private void read(String topic, String isolation) {
        Common.Tally tally = new Common.Tally();
        try (var consumer = consumer("", isolation)) {
            var partitions = consumer.partitionsFor(topic).stream().map(p -> new TopicPartition(topic, p.partition())).toList();
            consumer.assign(partitions);
            Map<TopicPartition, Long> ends = new HashMap<>(consumer.endOffsets(partitions));
            while (!over() && !ends.isEmpty()) {
                consumer.poll(Duration.ofMillis(200)).forEach(r -> tally.add(r.value()));
                ends.entrySet().removeIf(e -> consumer.position(e.getKey()) >= e.getValue());
            }
        }
        tally.print("read", "topic", topic, "name", isolation);
    }
}
