"""A Modbus device made with pymodbus, which is not ours, for the end-to-end tests.

    modbus_peer.py <control port> tcp <port> [slave]
    modbus_peer.py <control port> rtu <serial port> <baud> [slave]
    modbus_peer.py <control port> rtutcp <port> [slave]         RTU frames over TCP

The slave, 1 if not said otherwise, holds what `contents.py` says.
"""

import asyncio
import sys

from contents import PLACES, Contents
from pymodbus import FramerType
from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice


def served(slave, contents):
    async def answer(function, start, address, count, current, values):
        if values is not None:
            contents.write(function, address, values)
            return None
        if contents.exception:
            return ExcCodes(contents.exception)
        said = contents.read(function)
        if function in (1, 2):
            # Sixteen bits a word, the first the lowest.
            words = [said[i : i + 16] for i in range(0, len(said), 16)]
            said = [sum(int(bit) << place for place, bit in enumerate(word)) for word in words]
        current[:] = said[: len(current)]
        return None

    bits = [SimData(0, values=[False] * (PLACES // 16 * 16), datatype=DataType.BITS)]
    words = [SimData(0, values=[0] * PLACES, datatype=DataType.REGISTERS)]
    return SimDevice(slave, (bits, bits, words, words), action=answer)


async def main():
    control_port, kind, *where = sys.argv[1:]
    settings = 2 if kind == "rtu" else 1
    slave = int(where[settings]) if len(where) > settings else 1
    contents = Contents()
    device = served(slave, contents)
    if kind == "rtu":
        server = ModbusSerialServer(device, framer=FramerType.RTU, port=where[0], baudrate=int(where[1]))
    else:
        framer = FramerType.RTU if kind == "rtutcp" else FramerType.SOCKET
        server = ModbusTcpServer(device, framer=framer, address=("127.0.0.1", int(where[0])))
    await server.serve_forever(background=True)
    # Last, so that who reaches the control port finds the device served.
    await asyncio.to_thread(contents.control, int(control_port))


asyncio.run(main())
