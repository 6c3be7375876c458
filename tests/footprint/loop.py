"""Reads registers with pymodbus and publishes them with paho, as one would write it in an afternoon.

    loop.py <modbus port> <registers> <seconds between reads> <broker port>
"""

import json
import sys
import time

import paho.mqtt.client as mqtt
from pymodbus.client import ModbusTcpClient

modbus_port, registers, pause, broker_port = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
slave = ModbusTcpClient("127.0.0.1", port=modbus_port)
slave.connect()
broker = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="turbine-01")
broker.connect_async("127.0.0.1", broker_port)
broker.loop_start()
due = time.monotonic()
while True:
    answer = slave.read_input_registers(0, count=registers, device_id=1)
    if not answer.isError():
        values = [answer.registers[0]] + [count / 10 for count in answer.registers[1:]]
        reading = {"ts": int(time.time() * 1000), "values": dict((f"c{i}", value) for i, value in enumerate(values))}
        broker.publish("turbine-01/readings", json.dumps(reading, separators=(",", ":")), qos=1)
    due += pause
    time.sleep(max(0.0, due - time.monotonic()))
