"""A Modbus device made with pymodbus, which is not ours, for the end-to-end tests.

    modbus_peer.py <control port> tcp <port>
    modbus_peer.py <control port> rtu <serial port> <baud>

Slave 1 has 200 input and holding registers (the same values in both). What they hold is told over the control port, one
JSON object a line, each answered with one line:

    {"set": {"0": 800}}     register values
    {"wobble": 40}          register 0 moves by up to so much around what was set, at each read
    {"exception": 4}        answer every read with this exception; 0: with values again
    {}                      nothing; the answer says how many reads were answered: {"served": 12}

Registers 100 and 101 hold the number of the read, high word first: every answer carries its own.
"""

import asyncio
import json
import random
import sys

from pymodbus import FramerType
from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

REGISTERS = 200
SEQUENCE = 100


class Device:
    def __init__(self):
        self.registers = [0] * REGISTERS
        self.wobble = 0
        self.exception = 0
        self.served = 0
        self.random = random.Random(1)

    async def answer(self, function, start, address, count, current, values):
        if values is not None:
            return None
        if self.exception:
            return ExcCodes(self.exception)
        self.served += 1
        said = list(self.registers)
        said[0] += self.random.randint(-self.wobble, self.wobble)
        said[SEQUENCE : SEQUENCE + 2] = [self.served >> 16, self.served & 0xFFFF]
        current[:] = said[start : start + len(current)]
        return None

    def obey(self, line):
        command = json.loads(line)
        for register, value in command.get("set", {}).items():
            self.registers[int(register)] = value
        self.wobble = command.get("wobble", self.wobble)
        self.exception = command.get("exception", self.exception)
        return {"served": self.served}

    async def control(self, reader, writer):
        while line := await reader.readline():
            writer.write(json.dumps(self.obey(line)).encode() + b"\n")
            await writer.drain()
        writer.close()


async def main():
    control_port, kind, *where = sys.argv[1:]
    device = Device()
    slave = SimDevice(1, [SimData(0, values=[0] * REGISTERS, datatype=DataType.REGISTERS)], action=device.answer)
    if kind == "tcp":
        server = ModbusTcpServer(slave, address=("127.0.0.1", int(where[0])))
    else:
        server = ModbusSerialServer(slave, framer=FramerType.RTU, port=where[0], baudrate=int(where[1]))
    await server.serve_forever(background=True)
    # Last, so that who reaches the control port finds the device served.
    control = await asyncio.start_server(device.control, "127.0.0.1", int(control_port))
    await control.serve_forever()


asyncio.run(main())
