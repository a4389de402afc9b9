"""What the librdkafka programs share: the same flags, JSON lines, buckets and values as the Java ones."""

import json
import os
import signal
import struct
import sys
import threading
import time

BUCKET_MS = 100
MAGIC = 0x51C1CE00
_VALUE = struct.Struct(">IiQ")  # magic, number of the producer, sequence
_MASK = (1 << 64) - 1

stopping = threading.Event()
_out = threading.Lock()


def flags(argv, **defaults):
    """Parses --name value; --prop key=value may be repeated. A default of None means required."""
    defaults = {"bootstrap": None, "client_id": "", "seconds": "20", **defaults}
    values, props = dict(defaults), {}
    for name, value in zip(argv[::2], argv[1::2]):
        key = name[2:].replace("-", "_")
        if name == "--prop":
            k, _, v = value.partition("=")
            props[k] = v
        elif key in defaults:
            values[key] = value
        else:
            usage(f"{name}: not a flag; flags are {sorted(defaults)} and prop")
    missing = [k for k, v in values.items() if v is None]
    if missing or len(argv) % 2:
        usage(f"missing: {missing}" if missing else f"{argv[-1]}: no value")
    config = {"bootstrap.servers": values["bootstrap"], "client.id": values["client_id"], **props}
    return values, config


def usage(message):
    print(message, file=sys.stderr)
    sys.exit(2)


def deadline(seconds):
    """Ends the program with exit code 3 after so long; SIGTERM asks for an orderly end."""

    def watch():
        time.sleep(seconds)
        line("deadline")
        os._exit(3)

    threading.Thread(target=watch, daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())


def line(event, ms=None, **fields):
    text = json.dumps({"ms": int(time.time() * 1000) if ms is None else ms, "event": event, **fields})
    with _out:
        print(text, flush=True)


class Errors:
    """Errors by name and message: the first of a kind is printed at once, all counts at the end."""

    def __init__(self, client):
        self.client, self.counts, self.lock = client, {}, threading.Lock()

    def add(self, error):
        """Takes a KafkaError or an exception that carries one."""
        if isinstance(error, Exception):
            error = error.args[0] if error.args else error
        name = error.name() if hasattr(error, "name") else type(error).__name__
        message = error.str() if hasattr(error, "str") else str(error)
        with self.lock:
            self.counts[name, message] = self.counts.get((name, message), 0) + 1
            first = self.counts[name, message] == 1
        if first:
            line("error", client=self.client, error=name, message=message)
        return name, message

    def total(self):
        with self.lock:
            return sum(self.counts.values())

    def summary(self):
        with self.lock:
            for (name, message), n in sorted(self.counts.items()):
                line("errors", error=name, message=message, count=n)


class Buckets:
    """Bytes in buckets of BUCKET_MS on the grid of the wall clock; empty ones are printed too."""

    def __init__(self, client):
        self.client, self.lock = client, threading.Lock()
        self.start, self.size, self.count = self._now(), 0, 0
        self.bytes, self.records, self.closed = 0, 0, False
        threading.Thread(target=self._tick, daemon=True).start()

    @staticmethod
    def _now():
        return int(time.time() * 1000) // BUCKET_MS * BUCKET_MS

    def _tick(self):
        while not self.closed:
            time.sleep(BUCKET_MS / 1000)
            self.add(0, 0)

    def add(self, size, count):
        with self.lock:
            while self.start < self._now() and not self.closed:
                self._flush()
            self.size += size
            self.count += count
            self.bytes += size
            self.records += count

    def _flush(self):
        line("bytes", ms=self.start, client=self.client, bytes=self.size, records=self.count)
        self.start += BUCKET_MS
        self.size = self.count = 0

    def close(self):
        self.add(0, 0)
        with self.lock:
            self._flush()
            self.closed = True


class Tally:
    """What was sent to, or received from, one topic or partition, with a checksum free of order."""

    def __init__(self):
        self.records = self.bytes = self.sum = self.repeated = 0
        self.last = {}

    def add(self, value):
        self.records += 1
        self.bytes += len(value)
        if len(value) < _VALUE.size:
            return
        magic, producer, seq = _VALUE.unpack_from(value)
        if magic != MAGIC:
            return
        self.sum = (self.sum + (seq + 1) * 0x9E3779B97F4A7C15 + producer) & _MASK
        if self.last.get(producer, -1) >= seq:
            self.repeated += 1
        self.last[producer] = seq

    def print(self, event, **fields):
        line(event, records=self.records, bytes=self.bytes, sum=f"{self.sum:x}", repeated=self.repeated, **fields)


def value(producer, seq, size):
    return _VALUE.pack(MAGIC, producer, seq) + b"x" * (size - _VALUE.size)


class Throttle:
    """The largest throttle time that librdkafka's throttle callback reported, in milliseconds."""

    def __init__(self, client):
        self.client, self.largest, self.count = client, 0.0, 0

    def __call__(self, event):
        self.largest = max(self.largest, event.throttle_time * 1000)  # the binding says seconds
        self.count += 1

    def summary(self):
        line("metric", client=self.client, name="throttle-time-max", number=self.largest, count=self.count)
