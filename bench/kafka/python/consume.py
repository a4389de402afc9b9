"""A librdkafka consumer: python consume.py --bootstrap HOST:PORT --group G --topics A,B

--client-id ID  --protocol classic|consumer (classic)  --seconds S (20)  --records N (0: no limit)
--from earliest|latest (earliest)  --prop key=value. A topic that begins with ^ is a pattern.

Events as those of Consume.java, without member and generation.
"""

import sys
import time

from confluent_kafka import Consumer, KafkaException

import common


def main():
    f, config = common.flags(sys.argv[1:], group=None, topics=None, protocol="classic", records="0", **{"from": "earliest"})
    common.deadline(float(f["seconds"]) + 30)
    client, limit = f["client_id"], int(f["records"])
    errors, buckets, throttle = (kind(client) for kind in (common.Errors, common.Buckets, common.Throttle))
    tallies = {}
    consumer = Consumer({"group.id": f["group"], "group.protocol": f["protocol"], "auto.offset.reset": f["from"],
                         **config, "throttle_cb": throttle, "error_cb": errors.add})
    common.line("start", client=client, group=f["group"])

    def say(event):
        return lambda _, parts: common.line(event, client=client, group=f["group"],
                                            value=" ".join(f"{p.topic}-{p.partition}" for p in parts))

    consumer.subscribe(f["topics"].split(","), on_assign=say("assigned"), on_revoke=say("revoked"), on_lost=say("lost"))
    end = time.time() + float(f["seconds"])
    while time.time() < end and not common.stopping.is_set() and (limit == 0 or buckets.records < limit):
        try:
            for message in consumer.consume(500, 0.2):
                if message.error():
                    errors.add(message.error())
                    continue
                data = message.value() or b""
                buckets.add(len(data), 1)
                tallies.setdefault((message.topic(), message.partition()), common.Tally()).add(data)
        except KafkaException as e:
            errors.add(e)
            time.sleep(0.2)
    consumer.close()
    buckets.close()
    for (topic, partition), tally in sorted(tallies.items()):
        tally.print("partition", group=f["group"], topic=topic, partition=partition)
    errors.summary()
    throttle.summary()
    common.line("done", client=client, records=buckets.records, bytes=buckets.bytes, count=errors.total())


main()
