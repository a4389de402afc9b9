import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.acl.AclBindingFilter;
import org.apache.kafka.common.config.ConfigResource;

/**
 * Calls of the admin client, each printed with its result or its exception.
 *
 * <pre>
 * --bootstrap HOST:PORT   --client-id ID
 * --do A,B,...            the calls, in order: any of clusterCalls, topicCalls and groupCalls below
 * --topics A,B,...        for the calls about topics
 * --groups A,B,...        for the calls about groups
 * --partitions N          for create-topics and create-partitions (1)
 * --broker ID             for describe-broker-configs (1)
 * --config key=value      for alter-topic-configs
 * --seconds S             in all (60)
 * --prop key=value        any admin property, such as default.api.timeout.ms
 * </pre>
 *
 * Events: result (op, topic: what it is about, value), error (op, topic, error,
 * message), done (count of errors). A topic or group that fails has its own error
 * line; values are sorted, so that two runs can be compared.
 */
public final class Admin {
    private final Common.Flags flags;
    private final org.apache.kafka.clients.admin.Admin admin;
    private final Map<String, Call> calls = new LinkedHashMap<>();
    private String op = "";
    private long failed;

    /** One call of the admin client. */
    private interface Call { void run() throws Exception; }

    /** One result of a call. */
    private interface Result { Object get() throws Exception; }

    private Admin(Common.Flags flags, org.apache.kafka.clients.admin.Admin admin) {
        this.flags = flags;
        this.admin = admin;
        clusterCalls();
        topicCalls();
        groupCalls();
    }

    public static void main(String[] args) {
        Common.Flags flags = new Common.Flags(args, "do", "topics", "groups", "partitions", "broker", "config");
        Common.deadline(flags.num("seconds", 60) * 1000);
        try (var client = org.apache.kafka.clients.admin.Admin.create(flags.properties(0))) {
            Admin a = new Admin(flags, client);
            for (String name : flags.need("do").split(",")) {
                if (!a.calls.containsKey(name)) Common.usage(name + ": not a call; calls are " + a.calls.keySet());
                a.op = name;
                try {
                    a.calls.get(name).run();
                } catch (Exception e) {
                    a.fail("", e);
                }
            }
            Common.line("done", "client", flags.get("client-id", ""), "count", a.failed);
        }
    }

    private void fail(String about, Throwable thrown) {
        Throwable t = Common.cause(thrown);
        failed++;
        Common.line("error", "op", op, "topic", about, "error", t.getClass().getSimpleName(), "message", t.getMessage());
    }

    private void say(String about, Result result) {
        try {
            Common.line("result", "op", op, "topic", about, "value", String.valueOf(result.get()));
        } catch (Exception e) {
            fail(about, e);
        }
    }

    private static String node(Node n) { return n == null ? "none" : n.id() + "@" + n.host() + ":" + n.port(); }

    private static String nodes(Collection<Node> all) {
        return all.stream().map(Admin::node).sorted().collect(Collectors.joining(" "));
    }

    private void clusterCalls() {
        calls.put("describe-cluster", () -> {
            var r = admin.describeCluster();
            say("nodes", () -> nodes(r.nodes().get()));
            say("controller", () -> node(r.controller().get()));
            say("cluster-id", () -> r.clusterId().get());
        });
        calls.put("describe-broker-configs", () -> configs(ConfigResource.Type.BROKER, List.of(flags.get("broker", "1"))));
        calls.put("describe-features", () -> say("features",
                () -> new TreeMap<>(admin.describeFeatures().featureMetadata().get().finalizedFeatures())));
        calls.put("describe-quorum", () -> say("quorum", () -> admin.describeMetadataQuorum().quorumInfo().get()));
        calls.put("describe-log-dirs", () -> admin.describeLogDirs(List.of(Integer.parseInt(flags.get("broker", "1")))).descriptions()
                .forEach((id, f) -> say("" + id, () -> f.get().size())));
        calls.put("describe-acls", () -> say("acls", () -> admin.describeAcls(AclBindingFilter.ANY).values().get()));
        calls.put("list-transactions", () -> say("transactions", () -> admin.listTransactions().all().get().stream()
                .map(t -> t.transactionalId()).sorted().toList()));
    }

    private void topicCalls() {
        List<String> topics = flags.list("topics");
        int partitions = (int) flags.num("partitions", 1);
        calls.put("list-topics", () -> say("topics", () -> new TreeSet<>(admin.listTopics().names().get())));
        calls.put("describe-topics", () -> admin.describeTopics(topics).topicNameValues().forEach((t, f) -> say(t,
                () -> f.get().partitions().stream().map(p -> p.partition() + ":" + node(p.leader())).collect(Collectors.joining(" ")))));
        calls.put("describe-topic-configs", () -> configs(ConfigResource.Type.TOPIC, topics));
        calls.put("alter-topic-configs", () -> alter(ConfigResource.Type.TOPIC, topics, flags.need("config")));
        calls.put("list-offsets", () -> {
            for (String t : topics) say(t, () -> offsets(t));
        });
        calls.put("create-topics", () -> admin
                .createTopics(topics.stream().map(t -> new NewTopic(t, Optional.of(partitions), Optional.empty())).toList()).values()
                .forEach((t, f) -> say(t, () -> f.get() == null ? "created" : "")));
        calls.put("create-partitions", () -> admin
                .createPartitions(topics.stream().collect(Collectors.toMap(t -> t, t -> NewPartitions.increaseTo(partitions)))).values()
                .forEach((t, f) -> say(t, () -> f.get() == null ? "created" : "")));
        calls.put("delete-topics", () -> admin.deleteTopics(topics).topicNameValues()
                .forEach((t, f) -> say(t, () -> f.get() == null ? "deleted" : "")));
        calls.put("delete-records", () -> admin
                .deleteRecords(topics.stream().collect(Collectors.toMap(t -> new TopicPartition(t, 0), t -> RecordsToDelete.beforeOffset(1))))
                .lowWatermarks().forEach((tp, f) -> say(tp.toString(), () -> f.get().lowWatermark())));
        calls.put("describe-producers", () -> {
            for (String t : topics) {
                TopicPartition tp = new TopicPartition(t, 0);
                say(t, () -> admin.describeProducers(List.of(tp)).partitionResult(tp).get().activeProducers().size());
            }
        });
    }

    private void groupCalls() {
        List<String> groups = flags.list("groups");
        calls.put("list-groups", () -> say("groups", () -> admin.listGroups().all().get().stream()
                .map(g -> g.groupId() + ":" + g.type().map(Object::toString).orElse("?")).collect(Collectors.toCollection(TreeSet::new))));
        calls.put("describe-groups", () -> admin.describeConsumerGroups(groups).describedGroups().forEach((g, f) -> say(g,
                () -> f.get().groupState() + " " + f.get().members().size() + " members, coordinator " + node(f.get().coordinator()))));
        calls.put("describe-share-groups", () -> admin.describeShareGroups(groups).describedGroups().forEach((g, f) -> say(g,
                () -> f.get().groupState() + " " + f.get().members().size() + " members, coordinator " + node(f.get().coordinator()))));
        calls.put("list-group-offsets", () -> {
            for (String g : groups) {
                say(g, () -> admin.listConsumerGroupOffsets(g).partitionsToOffsetAndMetadata().get().entrySet().stream()
                        .map(e -> e.getKey() + "=" + e.getValue().offset()).sorted().collect(Collectors.joining(" ")));
            }
        });
        calls.put("delete-groups", () -> admin.deleteConsumerGroups(groups).deletedGroups()
                .forEach((g, f) -> say(g, () -> f.get() == null ? "deleted" : "")));
        calls.put("share-earliest", () -> alter(ConfigResource.Type.GROUP, groups, "share.auto.offset.reset=earliest"));
    }

    private String offsets(String topic) throws Exception {
        Map<TopicPartition, OffsetSpec> ask = new TreeMap<>((a, b) -> Integer.compare(a.partition(), b.partition()));
        admin.describeTopics(List.of(topic)).topicNameValues().get(topic).get().partitions()
                .forEach(p -> ask.put(new TopicPartition(topic, p.partition()), OffsetSpec.latest()));
        var r = admin.listOffsets(ask);
        List<String> out = new ArrayList<>();
        for (TopicPartition tp : ask.keySet()) out.add(tp.partition() + "=" + r.partitionResult(tp).get().offset());
        return String.join(" ", out);
    }

    private void configs(ConfigResource.Type type, List<String> names) {
        admin.describeConfigs(names.stream().map(n -> new ConfigResource(type, n)).toList()).values()
                .forEach((resource, f) -> say(resource.name(), () -> f.get().entries().stream()
                        .map(e -> e.name() + "=" + e.value()).sorted().collect(Collectors.joining("\n"))));
    }

    private void alter(ConfigResource.Type type, List<String> names, String config) {
        String[] pair = config.split("=", 2);
        var op = new AlterConfigOp(new ConfigEntry(pair[0], pair[1]), AlterConfigOp.OpType.SET);
        Map<ConfigResource, Collection<AlterConfigOp>> all = names.stream()
                .collect(Collectors.toMap(n -> new ConfigResource(type, n), n -> List.of(op)));
        admin.incrementalAlterConfigs(all).values().forEach((resource, f) -> say(resource.name(), () -> {
            f.get();
            settle(resource, pair[0], pair[1]);
            return "altered";
        }));
    }

    /** Waits until the broker shows what its controller has altered, as far as it may be asked. */
    private void settle(ConfigResource resource, String key, String value) {
        try {
            for (int i = 0; i < 100; i++) {
                ConfigEntry shown = admin.describeConfigs(List.of(resource)).all().get().get(resource).get(key);
                if (shown != null && value.equals(shown.value())) return;
                Common.sleep(100);
            }
        } catch (Exception e) {
            return;
        }
    }
}
