import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import org.apache.kafka.common.Metric;
import org.apache.kafka.common.MetricName;

/**
 * What the client programs share: flags, JSON lines on standard output, buckets
 * of bytes, counted errors, and an end that always comes.
 *
 * <p>Flags are {@code --name value}; {@code --prop key=value} may be repeated and
 * overrides any property of the client. Every line printed is one JSON object
 * with {@code ms} (Unix time in milliseconds) and {@code event}. Exit codes: 0
 * the program came to its own end, whatever the cluster said; 1 it could not run;
 * 2 wrong usage; 3 it was still running at its deadline.
 */
final class Common {
    /** Width in milliseconds of one bucket of bytes, on the grid of the wall clock. */
    static final long BUCKET_MS = 100;

    private static volatile boolean stopping;

    private Common() {}

    /** The flags of one program. */
    static final class Flags {
        private final Map<String, String> values = new HashMap<>();
        private final Map<String, String> props = new LinkedHashMap<>();

        /** Parses args; a flag that is not allowed ends the program with exit code 2. */
        Flags(String[] args, String... allowed) {
            Set<String> known = new TreeSet<>(Arrays.asList(allowed));
            known.addAll(List.of("bootstrap", "client-id", "seconds", "prop"));
            for (int i = 0; i < args.length; i += 2) {
                String name = args[i].startsWith("--") ? args[i].substring(2) : "";
                if (!known.contains(name) || i + 1 == args.length) {
                    usage(args[i] + ": not a flag with a value; flags are " + known);
                }
                if (name.equals("prop")) {
                    String[] pair = args[i + 1].split("=", 2);
                    props.put(pair[0], pair.length == 2 ? pair[1] : "");
                } else {
                    values.put(name, args[i + 1]);
                }
            }
            need("bootstrap");
        }

        String need(String name) {
            String value = values.get(name);
            if (value == null) usage("--" + name + " is missing");
            return value;
        }

        String get(String name, String otherwise) { return values.getOrDefault(name, otherwise); }

        long num(String name, long otherwise) { return Long.parseLong(get(name, "" + otherwise)); }

        boolean on(String name) { return Boolean.parseBoolean(get(name, "false")); }

        List<String> list(String name) {
            String value = get(name, "");
            return value.isEmpty() ? List.of() : Arrays.asList(value.split(","));
        }

        /** How long to run, in milliseconds. */
        long millis() { return num("seconds", 20) * 1000; }

        /** The client's properties; {i} in any value becomes the number of the client. */
        Properties properties(int i, String... defaults) {
            Properties p = new Properties();
            p.put("bootstrap.servers", need("bootstrap"));
            p.put("client.id", get("client-id", "").replace("{i}", "" + i));
            for (int k = 0; k < defaults.length; k += 2) p.put(defaults[k], defaults[k + 1]);
            props.forEach((key, value) -> p.put(key, value.replace("{i}", "" + i)));
            return p;
        }
    }

    static void usage(String message) {
        System.err.println(message);
        Runtime.getRuntime().halt(2); // not exit: its hook would wait for this thread
    }

    /**
     * Starts the watch that ends the program after millis with exit code 3, and
     * makes SIGTERM ask for an early but orderly end.
     */
    static void deadline(long millis) {
        Thread main = Thread.currentThread();
        Thread watch = new Thread(() -> {
            sleep(millis);
            line("deadline", "client", "");
            Runtime.getRuntime().halt(3);
        });
        watch.setDaemon(true);
        watch.start();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            stopping = true;
            try {
                main.join(10_000);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        }));
    }

    /** Whether SIGTERM asked the program to come to its end. */
    static boolean stopping() { return stopping; }

    static void sleep(long millis) {
        try {
            Thread.sleep(Math.max(0, millis));
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    /** Prints one event: pairs of a name and a value (a number, or anything as a string). */
    static void line(String event, Object... pairs) { lineAt(System.currentTimeMillis(), event, pairs); }

    static void lineAt(long ms, String event, Object... pairs) {
        StringBuilder b = new StringBuilder(128).append("{\"ms\":").append(ms).append(",\"event\":").append(quote(event));
        for (int i = 0; i < pairs.length; i += 2) {
            b.append(',').append(quote((String) pairs[i])).append(':');
            Object v = pairs[i + 1];
            if (v instanceof Double d && (d.isNaN() || d.isInfinite())) v = 0;
            b.append(v instanceof Number ? v.toString() : quote(String.valueOf(v)));
        }
        String text = b.append("}\n").toString();
        synchronized (System.out) {
            System.out.print(text);
            System.out.flush();
        }
    }

    private static String quote(String s) {
        StringBuilder b = new StringBuilder(s.length() + 2).append('"');
        for (char c : s.toCharArray()) {
            if (c == '"' || c == '\\') b.append('\\').append(c);
            else if (c < 0x20) b.append(String.format("\\u%04x", (int) c));
            else b.append(c);
        }
        return b.append('"').toString();
    }

    /** The exception that says what happened: wrappers of the client and of futures taken off. */
    static Throwable cause(Throwable t) {
        while (t.getCause() != null
                && (t instanceof java.util.concurrent.ExecutionException
                        || t instanceof java.util.concurrent.CompletionException
                        || t.getClass() == org.apache.kafka.common.KafkaException.class)) {
            t = t.getCause();
        }
        return t;
    }

    /** Errors by class and message: the first of a kind is printed at once, all counts at the end. */
    static final class Errors {
        private final Map<String, Long> counts = new TreeMap<>();
        private long total;

        synchronized void add(String client, Throwable thrown) {
            Throwable t = cause(thrown);
            total++;
            String kind = t.getClass().getSimpleName() + '\0' + t.getMessage();
            if (counts.size() > 1000) kind = t.getClass().getSimpleName() + '\0' + "(more)";
            if (counts.merge(kind, 1L, Long::sum) == 1) {
                line("error", "client", client, "error", t.getClass().getSimpleName(), "message", t.getMessage());
            }
        }

        synchronized long total() { return total; }

        synchronized void summary() {
            counts.forEach((kind, n) -> {
                String[] parts = kind.split("\0", 2);
                line("errors", "error", parts[0], "message", parts[1], "count", n);
            });
        }
    }

    /** Bytes of one client in buckets of BUCKET_MS; empty buckets are printed too, so that a stall shows. */
    static final class Buckets {
        private final String client;
        private long start = System.currentTimeMillis() / BUCKET_MS * BUCKET_MS;
        private long bytes;
        private long records;
        private long allBytes;
        private long allRecords;

        Buckets(String client) {
            this.client = client;
            Thread tick = new Thread(() -> {
                while (true) {
                    sleep(BUCKET_MS);
                    add(0, 0);
                }
            });
            tick.setDaemon(true);
            tick.start();
        }

        synchronized void add(long b, long r) {
            long now = System.currentTimeMillis() / BUCKET_MS * BUCKET_MS;
            while (start < now) flush();
            bytes += b;
            records += r;
            allBytes += b;
            allRecords += r;
        }

        private void flush() {
            lineAt(start, "bytes", "client", client, "bytes", bytes, "records", records);
            start += BUCKET_MS;
            bytes = 0;
            records = 0;
        }

        /** Prints the last bucket; nothing may be added afterwards. */
        synchronized void close() {
            add(0, 0);
            flush();
            start = Long.MAX_VALUE;
        }

        synchronized long bytes() { return allBytes; }

        synchronized long records() { return allRecords; }
    }

    /** The largest throttle times that the metrics of a client ever showed (Kafka forgets them after a minute). */
    static final class Throttle {
        private final Map<String, Double> largest = new TreeMap<>();

        synchronized void look(Map<MetricName, ? extends Metric> metrics) {
            metrics.forEach((name, metric) -> {
                if (name.name().contains("throttle-time") && metric.metricValue() instanceof Double d && !d.isNaN()) {
                    largest.merge(name.name(), d, Math::max);
                }
            });
        }

        synchronized void summary(String client) {
            largest.forEach((name, ms) -> line("metric", "client", client, "name", name, "number", ms));
        }
    }

    /**
     * The value of a record: magic, number of the producer, sequence, filling. A
     * sequence counts the records of one topic, so within a partition it only grows.
     */
    static final class Value {
        static final int MAGIC = 0x51C1CE00;
        static final int SIZE_MIN = 16;

        private Value() {}

        static void fill(byte[] value, int producer, long seq) {
            java.nio.ByteBuffer.wrap(value).putInt(MAGIC).putInt(producer).putLong(seq);
        }

        static boolean is(byte[] value) {
            return value != null && value.length >= SIZE_MIN && java.nio.ByteBuffer.wrap(value).getInt() == MAGIC;
        }

        static int producer(byte[] value) { return java.nio.ByteBuffer.wrap(value).getInt(4); }

        static long seq(byte[] value) { return java.nio.ByteBuffer.wrap(value).getLong(8); }

        /** One summand of a checksum that does not depend on order. */
        static long mix(int producer, long seq) { return (seq + 1) * 0x9E3779B97F4A7C15L + producer; }
    }

    /** What was sent to, or received from, one topic or partition. */
    static final class Tally {
        long records;
        long bytes;
        long sum;
        long repeated;
        private final Map<Integer, Long> last = new HashMap<>();

        /** Counts a record; one whose sequence does not grow counts as repeated or out of order. */
        synchronized void add(byte[] value) {
            records++;
            bytes += value.length;
            if (!Value.is(value)) return;
            int producer = Value.producer(value);
            long seq = Value.seq(value);
            sum += Value.mix(producer, seq);
            Long before = last.put(producer, seq);
            if (before != null && before >= seq) repeated++;
        }

        synchronized void add(int producer, long seq, long size) {
            records++;
            bytes += size;
            sum += Value.mix(producer, seq);
        }

        synchronized void print(String event, Object... pairs) {
            List<Object> all = new ArrayList<>(Arrays.asList(pairs));
            all.addAll(List.of("records", records, "bytes", bytes, "sum", Long.toHexString(sum), "repeated", repeated));
            line(event, all.toArray());
        }
    }
}
