import java.time.Duration;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.KafkaShareConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * A client that is refused and tries again once a second, as applications do.
 *
 * <pre>
 * --bootstrap HOST:PORT   --client-id ID
 * --kind K                producer, txn, consumer (classic), consumer-next (KIP-848), share, admin, admin-create
 * --topic T, --group G    (t, g); T is a list for consumers, G the transactional id of kind txn
 * --seconds S             how long to go on (20)
 * --tries N               stop earlier, after so many tries that passed or failed (no limit)
 * --recreate true         a new client for every try (one client throughout)
 * --prop key=value        any property of the client
 * </pre>
 *
 * Events: try (number, error, message; error is "none" when it passed and "waiting"
 * when a consumer has neither an exception nor an assignment or record), error (first of a kind), errors
 * (error, message, count), done (number of tries, records: tries that passed,
 * count of errors). A client call that is still waiting at the end is cut off.
 */
public final class Refused {
    private final Common.Flags flags;
    private final Common.Errors errors = new Common.Errors();
    private final long end;
    private AutoCloseable client;
    private long tries;
    private long passed;

    private Refused(Common.Flags flags) {
        this.flags = flags;
        this.end = System.currentTimeMillis() + flags.millis();
    }

    public static void main(String[] args) throws InterruptedException {
        Common.Flags flags = new Common.Flags(args, "kind", "topic", "group", "recreate", "tries");
        Common.deadline(flags.millis() + 30_000);
        Refused refused = new Refused(flags);
        Thread loop = new Thread(refused::loop);
        loop.setDaemon(true);
        loop.start();
        loop.join(flags.millis() + 500);
        refused.errors.summary();
        Common.line("done", "client", flags.get("client-id", ""), "number", refused.tries, "records", refused.passed,
                "count", refused.errors.total());
        Runtime.getRuntime().halt(0);
    }

    private void loop() {
        long most = flags.num("tries", Long.MAX_VALUE);
        while (System.currentTimeMillis() < end && !Common.stopping() && passed + errors.total() < most) {
            long start = System.currentTimeMillis();
            tries++;
            try {
                boolean done = attempt();
                if (done) passed++;
                Common.line("try", "number", tries, "error", done ? "none" : "waiting", "message", "");
            } catch (Exception e) {
                if (System.currentTimeMillis() >= end && e instanceof TimeoutException) return; // our own end, not an answer
                errors.add(flags.get("client-id", ""), e);
                Throwable t = Common.cause(e);
                Common.line("try", "number", tries, "error", t.getClass().getSimpleName(), "message", t.getMessage());
            }
            if (flags.on("recreate")) close();
            Common.sleep(Math.min(start + 1000, end) - System.currentTimeMillis());
        }
    }

    private void close() {
        try {
            if (client != null) client.close();
        } catch (Exception e) {
            errors.add(flags.get("client-id", ""), e);
        }
        client = null;
    }

    private long left() { return Math.max(1, end - System.currentTimeMillis()); }

    /** Tries once; returns whether the cluster did what was asked. */
    private boolean attempt() throws Exception {
        String topic = flags.get("topic", "t");
        switch (flags.need("kind")) {
            case "producer" -> produce(topic);
            case "txn" -> initTransactions();
            case "consumer" -> {
                return consume(topic, "classic");
            }
            case "consumer-next" -> {
                return consume(topic, "consumer");
            }
            case "share" -> {
                return share(topic);
            }
            case "admin" -> admin().describeCluster().nodes().get(left(), TimeUnit.MILLISECONDS);
            case "admin-create" -> admin().createTopics(List.of(new NewTopic(topic, 1, (short) 1))).all().get(left(), TimeUnit.MILLISECONDS);
            default -> Common.usage("--kind " + flags.need("kind") + ": not a kind");
        }
        return true;
    }

    @SuppressWarnings("unchecked")
    private void produce(String topic) throws Exception {
        if (client == null) client = new KafkaProducer<>(flags.properties(0), new StringSerializer(), new StringSerializer());
        ((KafkaProducer<String, String>) client).send(new ProducerRecord<>(topic, "x")).get(left(), TimeUnit.MILLISECONDS);
    }

    @SuppressWarnings("unchecked")
    private void initTransactions() {
        if (client == null) {
            client = new KafkaProducer<>(flags.properties(0, "transactional.id", flags.get("group", "g")),
                    new StringSerializer(), new StringSerializer());
        }
        ((KafkaProducer<String, String>) client).initTransactions();
    }

    @SuppressWarnings("unchecked")
    private boolean consume(String topic, String protocol) {
        if (client == null) {
            var p = flags.properties(0, "group.id", flags.get("group", "g"), "group.protocol", protocol);
            var consumer = new KafkaConsumer<>(p, new StringDeserializer(), new StringDeserializer());
            client = consumer;
            consumer.subscribe(List.of(topic.split(",")));
        }
        var consumer = (KafkaConsumer<String, String>) client;
        consumer.poll(Duration.ofMillis(Math.min(1000, left())));
        return !consumer.assignment().isEmpty();
    }

    @SuppressWarnings("unchecked")
    private boolean share(String topic) {
        if (client == null) {
            var consumer = new KafkaShareConsumer<>(flags.properties(0, "group.id", flags.get("group", "g")),
                    new StringDeserializer(), new StringDeserializer());
            client = consumer;
            consumer.subscribe(List.of(topic.split(",")));
        }
        return !((KafkaShareConsumer<String, String>) client).poll(Duration.ofMillis(Math.min(1000, left()))).isEmpty();
    }

    private org.apache.kafka.clients.admin.Admin admin() {
        if (client == null) client = org.apache.kafka.clients.admin.Admin.create(flags.properties(0));
        return (org.apache.kafka.clients.admin.Admin) client;
    }
}
