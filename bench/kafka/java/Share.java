import java.time.Duration;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.apache.kafka.clients.consumer.AcknowledgeType;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaShareConsumer;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * A share consumer (KIP-932) with explicit acknowledgement.
 *
 * <pre>
 * --bootstrap HOST:PORT   --client-id ID   --group G   --topics A,B,...
 * --seconds S             stop after S seconds (20)
 * --records N             stop once N different records were accepted (no limit)
 * --release-every K       release every K-th record at its first delivery, so that it is delivered again (0: none)
 * --prop key=value        any share consumer property
 * </pre>
 *
 * A share group starts at the latest offset unless its share.auto.offset.reset is
 * earliest (program Admin, --do share-earliest).
 *
 * <p>Events: bytes (by bucket), error, errors, partition (topic, partition,
 * records, bytes, sum of what was accepted), metric (fetch-throttle-time-avg,
 * -max), done (records: different records accepted; bytes: delivered; number:
 * deliveries of released records; count of errors).
 */
public final class Share {
    private final Common.Flags flags;
    private final Common.Errors errors = new Common.Errors();
    private final Common.Throttle throttle = new Common.Throttle();
    private final Map<String, Common.Tally> accepted = new TreeMap<>();
    private final Set<String> released = new HashSet<>();
    private final Set<String> seen = new HashSet<>();
    private long redelivered;
    private long deliveries;

    private Share(Common.Flags flags) { this.flags = flags; }

    public static void main(String[] args) {
        Common.Flags flags = new Common.Flags(args, "group", "topics", "records", "release-every");
        Common.deadline(flags.millis() + 60_000);
        new Share(flags).run();
    }

    private void run() {
        String client = flags.get("client-id", "");
        long end = System.currentTimeMillis() + flags.millis();
        Common.Buckets buckets = new Common.Buckets(client);
        var p = flags.properties(0, "group.id", flags.need("group"), "share.acknowledgement.mode", "explicit");
        try (var consumer = new KafkaShareConsumer<>(p, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            Common.line("start", "client", client, "group", flags.need("group"));
            consumer.setAcknowledgementCommitCallback((offsets, error) -> {
                if (error != null) errors.add(client, error);
            });
            consumer.subscribe(flags.list("topics"));
            while (System.currentTimeMillis() < end && !Common.stopping() && seen.size() < flags.num("records", Long.MAX_VALUE)) {
                poll(consumer, client, buckets);
                throttle.look(consumer.metrics());
            }
            consumer.commitSync(Duration.ofSeconds(10)).forEach((tp, error) -> error.ifPresent(e -> errors.add(client, e)));
        } catch (Exception e) {
            errors.add(client, e);
        }
        buckets.close();
        accepted.forEach((key, tally) -> {
            String[] k = key.split("\0");
            tally.print("partition", "topic", k[0], "partition", Integer.parseInt(k[1]));
        });
        errors.summary();
        throttle.summary(client);
        Common.line("done", "client", client, "records", seen.size(), "bytes", buckets.bytes(), "number", redelivered,
                "count", errors.total());
    }

    private void poll(KafkaShareConsumer<byte[], byte[]> consumer, String client, Common.Buckets buckets) {
        long every = flags.num("release-every", 0);
        try {
            for (ConsumerRecord<byte[], byte[]> r : consumer.poll(Duration.ofMillis(500))) {
                String partition = r.topic() + '\0' + r.partition();
                String id = partition + '\0' + r.offset();
                deliveries++;
                buckets.add(r.value().length, 1);
                boolean again = released.contains(id);
                if (again) redelivered++;
                if (every > 0 && !again && deliveries % every == 0) {
                    released.add(id);
                    consumer.acknowledge(r, AcknowledgeType.RELEASE);
                    continue;
                }
                consumer.acknowledge(r, AcknowledgeType.ACCEPT);
                if (seen.add(id)) accepted.computeIfAbsent(partition, k -> new Common.Tally()).add(r.value());
            }
        } catch (RuntimeException e) {
            errors.add(client, e);
            Common.sleep(200);
        }
    }
}
