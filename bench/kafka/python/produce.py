"""A librdkafka producer: python produce.py --bootstrap HOST:PORT --topics A,B

--client-id ID  --size BYTES (1000)  --seconds S (20)  --records N (0: no limit)
--rate BYTES per second (0: all it can)  --producer N (1)  --drain S (60)  --prop key=value

Events as those of Produce.java; metric throttle-time-max comes from the throttle callback.
"""

import sys
import time

from confluent_kafka import KafkaException, Producer

import common


def main():
    f, config = common.flags(sys.argv[1:], topics=None, size="1000", records="0", rate="0", producer="1", drain="60")
    seconds, drain, size, number = float(f["seconds"]), float(f["drain"]), int(f["size"]), int(f["producer"])
    common.deadline(seconds + drain + 10)
    errors, buckets, throttle = (kind(f["client_id"]) for kind in (common.Errors, common.Buckets, common.Throttle))
    topics = f["topics"].split(",")
    tallies = {t: common.Tally() for t in topics}
    producer = Producer({**config, "throttle_cb": throttle, "error_cb": errors.add})
    common.line("start", client=f["client_id"])

    def delivered(error, message):
        if error is not None:
            errors.add(error)
            return
        data = message.value()
        buckets.add(len(data), 1)
        tallies[message.topic()].add(data)

    begin, sent, n, limit, rate = time.time(), 0, 0, int(f["records"]), int(f["rate"])
    seqs = dict.fromkeys(topics, 0)
    while time.time() - begin < seconds and not common.stopping.is_set() and (limit == 0 or n < limit):
        if rate and time.time() < begin + sent / rate:
            producer.poll(min(0.1, begin + sent / rate - time.time()))
            continue
        topic = topics[n % len(topics)]
        try:
            producer.produce(topic, common.value(number, seqs[topic], size), on_delivery=delivered)
        except BufferError:
            producer.poll(0.1)
            continue
        except KafkaException as e:  # the producer is broken for good
            errors.add(e)
            time.sleep(0.1)
        n += 1
        sent += size
        seqs[topic] += 1
        producer.poll(0)
    producer.flush(drain)
    buckets.close()
    for topic, tally in tallies.items():
        tally.print("topic", topic=topic)
    errors.summary()
    throttle.summary()
    common.line("done", client=f["client_id"], records=buckets.records, bytes=buckets.bytes, count=errors.total())


main()
