import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * A transactional producer that steps over the border of the cluster that its
 * transactions live in: each step is tried in a transaction of its own, which is
 * aborted after the error, and afterwards one that keeps within is committed.
 *
 * <pre>
 * --bootstrap HOST:PORT   --client-id ID   --transactional-id ID
 * --here T                a topic of the transactions' cluster
 * --away T                a topic elsewhere, with at least one record
 * --group G               a group of the transactions' cluster
 * --away-group G          a group elsewhere; without it step group is left out
 * --prop key=value        any property of the producer
 * </pre>
 *
 * Steps: produce (a record to both topics), offsets (of the topic elsewhere), group
 * (offsets of the topic here for the group elsewhere). Events: refused (op, name: the
 * call that threw, error, message), passed (op: what should have been refused),
 * aborted (op), committed (records), error (op, error, message: a transaction could
 * not be aborted, or the last one not be committed), done (count of errors).
 */
public final class Across {
    private final Common.Flags flags;
    private final Common.Errors errors = new Common.Errors();
    private KafkaProducer<String, String> producer;

    private Across(Common.Flags flags) { this.flags = flags; }

    /** What is tried within a transaction. */
    private interface Step { void run() throws Exception; }

    public static void main(String[] args) {
        Common.Flags flags = new Common.Flags(args, "transactional-id", "here", "away", "group", "away-group");
        Common.deadline(90_000);
        new Across(flags).run();
    }

    private void run() {
        var p = flags.properties(0, "transactional.id", flags.need("transactional-id"));
        producer = new KafkaProducer<>(p, new StringSerializer(), new StringSerializer());
        String here = flags.need("here");
        String away = flags.need("away");
        try {
            producer.initTransactions();
            refused("produce", () -> {
                producer.send(new ProducerRecord<>(here, "lost"));
                try {
                    producer.send(new ProducerRecord<>(away, "lost")).get();
                } catch (ExecutionException e) {
                    throw (Exception) e.getCause();
                }
            });
            refused("offsets", () -> send(away, flags.need("group")));
            if (!flags.get("away-group", "").isEmpty()) refused("group", () -> send(here, flags.need("away-group")));
            producer.beginTransaction();
            producer.send(new ProducerRecord<>(here, "kept"));
            send(here, flags.need("group"));
            producer.commitTransaction();
            Common.line("committed", "records", 1);
        } catch (Exception e) {
            errors.add("commit", e);
        }
        producer.close(Duration.ofSeconds(5));
        errors.summary();
        Common.line("done", "client", flags.get("client-id", ""), "count", errors.total());
        Runtime.getRuntime().halt(0);
    }

    /** Tries a step in a transaction, prints what it threw, and aborts. */
    private void refused(String op, Step step) {
        producer.beginTransaction();
        String call = op;
        try {
            step.run();
            call = "commitTransaction";
            producer.commitTransaction();
            Common.line("passed", "op", op);
            return;
        } catch (Exception e) {
            Common.line("refused", "op", op, "name", call, "error", e.getClass().getSimpleName(), "message", e.getMessage());
            for (Throwable c = e.getCause(); c != null; c = c.getCause()) {
                Common.line("refused", "op", op, "name", "cause", "error", c.getClass().getSimpleName(), "message", c.getMessage());
            }
        }
        try {
            producer.abortTransaction();
            Common.line("aborted", "op", op);
        } catch (RuntimeException e) {
            errors.add(op, e);
        }
    }

    /** Sends the offset 1 of a topic's first partition to the transaction, as a member of the group. */
    private void send(String topic, String group) {
        var p = new java.util.Properties();
        p.put("bootstrap.servers", flags.need("bootstrap"));
        p.put("client.id", flags.get("client-id", ""));
        p.put("group.id", group);
        p.put("auto.offset.reset", "earliest");
        p.put("enable.auto.commit", "false");
        try (var consumer = new KafkaConsumer<>(p, new StringDeserializer(), new StringDeserializer())) {
            consumer.subscribe(List.of(topic));
            ConsumerRecords<String, String> got = ConsumerRecords.empty();
            for (long end = System.currentTimeMillis() + 20_000; got.isEmpty() && System.currentTimeMillis() < end;) {
                got = consumer.poll(Duration.ofMillis(200));
            }
            producer.sendOffsetsToTransaction(Map.copyOf(got.nextOffsets()), consumer.groupMetadata());
        }
    }
}
