import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * A producer with default configuration (so idempotent, acks=all) that sends as
 * fast as it is let, or at --rate, to its topics in turn.
 *
 * <pre>
 * --bootstrap HOST:PORT   --client-id ID   --topics A,B,...
 * --size BYTES            of a record's value, at least 16 (1000)
 * --seconds S             stop sending S seconds after the metadata came (20); what is buffered is still delivered
 * --records N, --bytes N  stop sending earlier, after so much (no limit)
 * --rate BYTES            per second; 0 sends all it can (0)
 * --transactional-id ID   commit a transaction every --commit-ms milliseconds (200)
 * --producer N            number written into every value, to tell producers apart (1)
 * --drain S               how long delivery may take after the last send (60)
 * --prop key=value        any producer property, such as acks=0
 * </pre>
 *
 * Events: bytes (value bytes acknowledged, by bucket), error, errors (error,
 * message, count), topic (topic, records, bytes, sum: what was acknowledged),
 * metric (produce-throttle-time-avg, -max: the largest seen, in milliseconds),
 * latency (name p50, p99, max; number in milliseconds from send to acknowledgement),
 * done (records, bytes acknowledged; count of errors).
 */
public final class Produce {
    private static final int LATENCIES_MAX = 1 << 21;

    private final Common.Flags flags;
    private final Common.Errors errors = new Common.Errors();
    private final Common.Throttle throttle = new Common.Throttle();
    private final Map<String, Common.Tally> topics = new TreeMap<>();
    private final int[] latencies = new int[LATENCIES_MAX];
    private int latencyCount;
    private Common.Buckets buckets;

    private Produce(Common.Flags flags) { this.flags = flags; }

    public static void main(String[] args) {
        Common.Flags flags = new Common.Flags(args, "topics", "size", "records", "bytes", "rate", "transactional-id",
                "commit-ms", "producer", "drain");
        // twice max.block.ms: the metadata at the start, the last send
        Common.deadline(flags.millis() + (flags.num("drain", 60) + 120) * 1000);
        new Produce(flags).run();
    }

    private void run() {
        String client = flags.get("client-id", "");
        List<String> names = Arrays.asList(flags.need("topics").split(","));
        names.forEach(name -> topics.put(name, new Common.Tally()));
        java.util.Properties p = flags.properties(0);
        if (flags.get("transactional-id", null) != null) p.put("transactional.id", flags.get("transactional-id", ""));
        buckets = new Common.Buckets(client);
        try (var producer = new KafkaProducer<>(p, new ByteArraySerializer(), new ByteArraySerializer())) {
            Common.line("start", "client", client);
            watchThrottle(producer);
            warm(producer, client, names);
            send(producer, client, names, p.containsKey("transactional.id"));
            throttle.look(producer.metrics());
        } catch (Exception e) {
            errors.add(client, e);
        }
        buckets.close();
        topics.forEach((name, tally) -> tally.print("topic", "topic", name));
        errors.summary();
        throttle.summary(client);
        printLatencies(client);
        Common.line("done", "client", client, "records", buckets.records(), "bytes", buckets.bytes(), "count", errors.total());
    }

    /** Fetches the topics' metadata, so that the seconds to come are seconds of sending. */
    private void warm(KafkaProducer<byte[], byte[]> producer, String client, List<String> names) {
        try {
            names.forEach(producer::partitionsFor);
        } catch (RuntimeException e) {
            errors.add(client, e); // sending will show it for the others
        }
    }

    private void send(KafkaProducer<byte[], byte[]> producer, String client, List<String> names, boolean transactional) {
        long begin = System.currentTimeMillis();
        long records = flags.num("records", Long.MAX_VALUE);
        long bytes = flags.num("bytes", Long.MAX_VALUE);
        long rate = flags.num("rate", 0);
        int number = (int) flags.num("producer", 1);
        byte[] template = new byte[(int) Math.max(Common.Value.SIZE_MIN, flags.num("size", 1000))];
        new Random(number).nextBytes(template);
        long[] seqs = new long[names.size()];
        long sent = 0;
        long committed = begin;
        long failed = 0;
        if (transactional) {
            producer.initTransactions();
            producer.beginTransaction();
        }
        for (long n = 0; n < records && sent < bytes && !Common.stopping(); n++) {
            long now = System.currentTimeMillis();
            if (now - begin >= flags.millis()) break;
            if (errors.total() > failed) { // an application that fails does not spin
                failed = errors.total();
                Common.sleep(100);
            }
            if (rate > 0) Common.sleep(begin + sent * 1000 / rate - now);
            int t = (int) (n % names.size());
            byte[] value = template.clone();
            Common.Value.fill(value, number, seqs[t]);
            sendOne(producer, client, names.get(t), value, number, seqs[t]++);
            sent += value.length;
            if (transactional && now - committed >= flags.num("commit-ms", 200)) {
                producer.commitTransaction();
                producer.beginTransaction();
                committed = now;
            }
        }
        if (transactional) producer.commitTransaction();
        producer.flush();
    }

    private void sendOne(KafkaProducer<byte[], byte[]> producer, String client, String topic, byte[] value, int number, long seq) {
        Common.Tally tally = topics.get(topic);
        long start = System.nanoTime();
        try {
            producer.send(new ProducerRecord<>(topic, value), (metadata, error) -> {
                if (error != null) {
                    errors.add(client, error);
                    return;
                }
                buckets.add(value.length, 1);
                tally.add(number, seq, value.length);
                latency(System.nanoTime() - start);
            });
        } catch (RuntimeException e) { // the producer is broken for good, or its buffer was full for max.block.ms
            errors.add(client, e);
            Common.sleep(100);
        }
    }

    private synchronized void latency(long nanos) {
        if (latencyCount < LATENCIES_MAX) latencies[latencyCount++] = (int) Math.min(Integer.MAX_VALUE, nanos / 1000);
    }

    private synchronized void printLatencies(String client) {
        if (latencyCount == 0) return;
        Arrays.sort(latencies, 0, latencyCount);
        Common.line("latency", "client", client, "name", "p50", "number", latencies[latencyCount / 2] / 1000.0);
        Common.line("latency", "client", client, "name", "p99", "number", latencies[(int) (latencyCount * 0.99)] / 1000.0);
        Common.line("latency", "client", client, "name", "max", "number", latencies[latencyCount - 1] / 1000.0);
    }

    private void watchThrottle(KafkaProducer<byte[], byte[]> producer) {
        Thread watch = new Thread(() -> {
            while (true) {
                Common.sleep(1000);
                throttle.look(producer.metrics());
            }
        });
        watch.setDaemon(true);
        watch.start();
    }
}
