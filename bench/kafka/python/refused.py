"""A librdkafka client that is refused and tries again once a second: python refused.py --bootstrap HOST:PORT --kind K

--kind producer|consumer|admin|admin-create  --client-id ID  --topic T (t)  --group G (g)  --seconds S (20)  --prop key=value
--tries N stop earlier, after so many tries that passed or failed (0: no limit)

Events: try (number, error, message; error is "none" when it passed, "waiting" when there was neither an
error nor an assignment), error, errors, done (number of tries, records: tries that passed, count of errors).
Errors of librdkafka's error callback are counted too.
"""

import os
import sys
import time

from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

import common


def producer(f, config, left):
    client = Producer(config)

    def attempt():
        got = []
        client.produce(f["topic"], b"x", on_delivery=lambda error, _: got.append(error))
        client.flush(left())
        if got and got[0] is not None:
            raise KafkaException(got[0])
        return bool(got)

    return attempt


def consumer(f, config, left):
    client = Consumer({"group.id": f["group"], "auto.offset.reset": "earliest", **config})
    client.subscribe([f["topic"]])

    def attempt():
        message = client.poll(min(1.0, left()))
        if message is not None and message.error():
            raise KafkaException(message.error())
        return bool(message or client.assignment())

    return attempt


def admin(f, config, left):
    client = AdminClient(config)

    def attempt():
        client.describe_cluster(request_timeout=left()).result()
        return True

    return attempt


def create(f, config, left):
    client = AdminClient(config)

    def attempt():
        client.create_topics([NewTopic(f["topic"], 1, 1)], request_timeout=left())[f["topic"]].result()
        return True

    return attempt


def main():
    f, config = common.flags(sys.argv[1:], kind=None, topic="t", group="g", tries="0")
    kinds = {"producer": producer, "consumer": consumer, "admin": admin, "admin-create": create}
    if f["kind"] not in kinds:
        common.usage(f"--kind {f['kind']}: not one of {sorted(kinds)}")
    seconds = float(f["seconds"])
    common.deadline(seconds + 30)
    errors = common.Errors(f["client_id"])
    end = time.time() + seconds
    attempt = kinds[f["kind"]](f, {**config, "error_cb": errors.add}, lambda: max(0.1, end - time.time()))
    tries = passed = failed = 0
    most = int(f["tries"])
    while time.time() < end and not common.stopping.is_set() and (most == 0 or passed + failed < most):
        start = time.time()
        tries += 1
        try:
            done = attempt()
            passed += done
            common.line("try", number=tries, error="none" if done else "waiting", message="")
        except KafkaException as e:
            failed += 1
            name, message = errors.add(e)
            common.line("try", number=tries, error=name, message=message)
        time.sleep(max(0.0, min(start + 1, end) - time.time()))
    errors.summary()
    common.line("done", client=f["client_id"], number=tries, records=passed, count=errors.total())
    sys.stdout.flush()
    os._exit(0)  # librdkafka may wait long to say goodbye to a broker that refuses it


main()
