# Reads slowly, acknowledges what it read, and prints it; a message on a/end ends it.
import sys
import threading
import time
import paho.mqtt.client as mqtt

heard, done = [], threading.Event()


def on_message(client, _data, message):
    if message.topic == "a/end":
        done.set()
        return
    heard.append(message.payload.decode())
    if len(heard) % 50 == 0:
        time.sleep(0.01)


reader = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="slow")
reader.on_message = on_message
reader.connect("127.0.0.1", int(sys.argv[1]), keepalive=60)
reader.loop_start()
reader.subscribe("a/#", qos=1)
assert done.wait(180), f"heard only {len(heard)}"
print("\n".join(heard))
reader.disconnect()
