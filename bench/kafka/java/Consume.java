import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.ConcurrentSkipListMap;
import java.util.concurrent.atomic.AtomicLong;
import java.util.regex.Pattern;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.SubscriptionPattern;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * One or more consumers in one process, each with its own client and thread.
 *
 * <pre>
 * --bootstrap HOST:PORT
 * --client-id ID, --group G    {i} becomes the number of the consumer, from 0; without --group all partitions are assigned
 * --protocol classic|consumer  group.protocol (classic)
 * --topics A,B,...             or
 * --pattern REGEX              a SubscriptionPattern (RE2/J, matched by the broker) with protocol consumer, else a Pattern
 * --consumers N                (1)
 * --seconds S                  stop after S seconds (20)
 * --records N                  stop once all consumers together have so many (no limit)
 * --idle S                     stop when nothing has come for S seconds (no limit)
 * --from earliest|latest       auto.offset.reset (earliest)
 * --commit auto|sync|none      sync commits after each poll (auto)
 * --prop key=value             any consumer property, such as isolation.level=read_committed
 * </pre>
 *
 * Events: bytes (by client and bucket), assigned, revoked, lost (client, group,
 * member, generation, value: the partitions), error, errors, partition (group,
 * topic, partition, records, bytes, sum, repeated: records whose sequence did not
 * grow), metric (fetch-throttle-time-avg, -max: the largest seen, in
 * milliseconds), member (client, member, generation at the end), done (records,
 * bytes, count of errors).
 */
public final class Consume {
    private final Common.Flags flags;
    private final Common.Errors errors = new Common.Errors();
    private final Map<String, Common.Tally> tallies = new ConcurrentSkipListMap<>();
    private final AtomicLong records = new AtomicLong();
    private final AtomicLong bytes = new AtomicLong();
    private final AtomicLong lastMillis = new AtomicLong(System.currentTimeMillis());
    private final long begin = System.currentTimeMillis();

    private Consume(Common.Flags flags) { this.flags = flags; }

    public static void main(String[] args) throws InterruptedException {
        Common.Flags flags = new Common.Flags(args, "group", "protocol", "topics", "pattern", "consumers", "records",
                "idle", "from", "commit");
        Common.deadline(flags.millis() + 60_000);
        new Consume(flags).run();
    }

    private void run() throws InterruptedException {
        List<Thread> threads = new ArrayList<>();
        for (int i = 0; i < flags.num("consumers", 1); i++) {
            int number = i;
            Thread t = new Thread(() -> consume(number));
            t.start();
            threads.add(t);
        }
        for (Thread t : threads) t.join();
        tallies.forEach((key, tally) -> {
            String[] k = key.split("\0");
            tally.print("partition", "group", k[0], "topic", k[1], "partition", Integer.parseInt(k[2]));
        });
        errors.summary();
        Common.line("done", "records", records.get(), "bytes", bytes.get(), "count", errors.total());
    }

    private boolean finished() {
        long now = System.currentTimeMillis();
        return Common.stopping() || now - begin >= flags.millis() || records.get() >= flags.num("records", Long.MAX_VALUE)
                || now - lastMillis.get() >= flags.num("idle", Integer.MAX_VALUE) * 1000;
    }

    private Properties properties(int i, String group) {
        String protocol = flags.get("protocol", "classic");
        Properties p = flags.properties(i, "auto.offset.reset", flags.get("from", "earliest"), "group.protocol", protocol,
                "enable.auto.commit", "" + (!group.isEmpty() && flags.get("commit", "auto").equals("auto")));
        if (!group.isEmpty()) p.put("group.id", group);
        return p;
    }

    private void consume(int i) {
        String client = flags.get("client-id", "").replace("{i}", "" + i);
        String group = flags.get("group", "").replace("{i}", "" + i);
        Common.Buckets buckets = new Common.Buckets(client);
        Common.Throttle throttle = new Common.Throttle();
        try (var consumer = new KafkaConsumer<>(properties(i, group), new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            Common.line("start", "client", client, "group", group);
            subscribe(consumer, client, group);
            long looked = 0;
            while (!finished()) {
                poll(consumer, client, group, buckets);
                if (System.currentTimeMillis() - looked >= 1000) {
                    looked = System.currentTimeMillis();
                    throttle.look(consumer.metrics());
                }
            }
            if (!group.isEmpty()) {
                var m = consumer.groupMetadata();
                Common.line("member", "client", client, "group", group, "member", m.memberId(), "generation", m.generationId());
            }
            throttle.look(consumer.metrics());
        } catch (Exception e) {
            errors.add(client, e);
        }
        buckets.close();
        throttle.summary(client);
    }

    private void poll(KafkaConsumer<byte[], byte[]> consumer, String client, String group, Common.Buckets buckets) {
        try {
            ConsumerRecords<byte[], byte[]> got = consumer.poll(Duration.ofMillis(200));
            long size = 0;
            for (ConsumerRecord<byte[], byte[]> r : got) {
                size += r.value() == null ? 0 : r.value().length;
                String key = group + '\0' + r.topic() + '\0' + r.partition();
                tallies.computeIfAbsent(key, k -> new Common.Tally()).add(r.value() == null ? new byte[0] : r.value());
            }
            if (got.isEmpty()) return;
            buckets.add(size, got.count());
            records.addAndGet(got.count());
            bytes.addAndGet(size);
            lastMillis.set(System.currentTimeMillis());
            if (flags.get("commit", "auto").equals("sync") && !group.isEmpty()) consumer.commitSync();
        } catch (RuntimeException e) {
            errors.add(client, e);
            Common.sleep(200);
        }
    }

    private void subscribe(KafkaConsumer<byte[], byte[]> consumer, String client, String group) {
        List<String> topics = flags.list("topics");
        String pattern = flags.get("pattern", "");
        if (group.isEmpty()) {
            List<TopicPartition> all = new ArrayList<>();
            for (String t : topics) consumer.partitionsFor(t).forEach(p -> all.add(new TopicPartition(t, p.partition())));
            consumer.assign(all);
            return;
        }
        ConsumerRebalanceListener listener = listener(consumer, client, group);
        if (pattern.isEmpty()) consumer.subscribe(topics, listener);
        else if (flags.get("protocol", "classic").equals("consumer")) consumer.subscribe(new SubscriptionPattern(pattern), listener);
        else consumer.subscribe(Pattern.compile(pattern), listener);
    }

    private static ConsumerRebalanceListener listener(KafkaConsumer<byte[], byte[]> consumer, String client, String group) {
        return new ConsumerRebalanceListener() {
            private void say(String event, Collection<TopicPartition> partitions) {
                var m = consumer.groupMetadata();
                Common.line(event, "client", client, "group", group, "member", m.memberId(), "generation", m.generationId(),
                        "value", partitions);
            }

            @Override public void onPartitionsAssigned(Collection<TopicPartition> p) { say("assigned", p); }

            @Override public void onPartitionsRevoked(Collection<TopicPartition> p) { say("revoked", p); }

            @Override public void onPartitionsLost(Collection<TopicPartition> p) { say("lost", p); }
        };
    }
}
