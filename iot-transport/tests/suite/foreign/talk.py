# Publishes to itself with every feature that is claimed, and prints what it heard: topic, payload, QoS, retained.
import sys
import threading
import paho.mqtt.client as mqtt

port, version = int(sys.argv[1]), sys.argv[2]
protocol = mqtt.MQTTv5 if version == "5" else mqtt.MQTTv311
expected = ["a/0", "a/1", "a/2", "a/empty", "a/kept", "a/will"]
heard, done = {}, threading.Event()


def client(name):
    made = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=name, protocol=protocol)
    return made


def start(made):
    ready = threading.Event()
    made.on_connect = lambda *_: ready.set()
    made.connect("127.0.0.1", port, keepalive=30)
    made.loop_start()
    assert ready.wait(30), "no CONNACK"


def on_message(_client, _data, message):
    heard[message.topic] = f"{message.topic} {message.payload.decode()} {message.qos} {int(message.retain)}"
    if len(heard) == len(expected):
        done.set()


writer = client("writer")
start(writer)
writer.publish("a/kept", "kept", qos=1, retain=True).wait_for_publish(30)

reader, subscribed = client("reader"), threading.Event()
reader.on_message = on_message
reader.on_subscribe = lambda *_: subscribed.set()
start(reader)
reader.subscribe("a/#", qos=2)
assert subscribed.wait(30), "no SUBACK"

for topic, payload, qos in [("a/0", "zero", 0), ("a/1", "one", 1), ("a/2", "two", 2), ("a/empty", "", 1)]:
    writer.publish(topic, payload, qos=qos).wait_for_publish(30)

# A client that vanishes without a goodbye leaves its will.
mortal = client("mortal")
mortal.will_set("a/will", "gone", qos=1)
start(mortal)
mortal.socket().shutdown(2)
mortal.loop_stop()

assert done.wait(30), f"heard only {sorted(heard)}"
for topic in expected:
    print(heard[topic])
writer.disconnect()
reader.disconnect()
