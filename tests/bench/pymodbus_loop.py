"""Reads input registers with pymodbus in a loop, as one would write it in an afternoon.

    pymodbus_loop.py <seconds between reads, 0: none> <registers> <port>...
"""

import sys
import time

from pymodbus.client import ModbusTcpClient

pause = float(sys.argv[1])
count = int(sys.argv[2])
clients = [ModbusTcpClient("127.0.0.1", port=int(port)) for port in sys.argv[3:]]
for client in clients:
    client.connect()
due = time.monotonic()
while True:
    for client in clients:
        answer = client.read_input_registers(2, count=count, device_id=1)
        if answer.isError():
            raise SystemExit(str(answer))
    if pause:
        due += pause
        time.sleep(max(0.0, due - time.monotonic()))
