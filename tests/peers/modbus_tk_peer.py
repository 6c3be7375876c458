"""A Modbus device made with modbus-tk, which is not ours, for the end-to-end tests.

    modbus_tk_peer.py <control port> tcp <port> [slave]
    modbus_tk_peer.py <control port> rtu <serial port> <baud> [slave]

The slave, 1 if not said otherwise, holds what `contents.py` says.
"""

import sys

import serial
from contents import PLACES, Contents
from modbus_tk import defines, hooks, modbus, modbus_rtu, modbus_tcp

FUNCTIONS = {
    1: ("handle_read_coils_request", defines.COILS),
    2: ("handle_read_discrete_inputs_request", defines.DISCRETE_INPUTS),
    3: ("handle_read_holding_registers_request", defines.HOLDING_REGISTERS),
    4: ("handle_read_input_registers_request", defines.ANALOG_INPUTS),
}


def fill(slave, contents):
    """Lets every read find what the contents say then."""

    def before(function):
        def hook(_):
            if contents.exception:
                raise modbus.ModbusError(contents.exception)
            slave.set_values(str(function), 0, contents.read(function))

        return hook

    for function, (name, kind) in FUNCTIONS.items():
        slave.add_block(str(function), kind, 0, PLACES)
        hooks.install_hook(f"modbus.Slave.{name}", before(function))


def main():
    control_port, kind, *where = sys.argv[1:]
    settings = 2 if kind == "rtu" else 1
    slave = int(where[settings]) if len(where) > settings else 1
    if kind == "rtu":
        port = serial.Serial(where[0], int(where[1]), parity=serial.PARITY_NONE)
        server = modbus_rtu.RtuServer(port)
    else:
        server = modbus_tcp.TcpServer(address="127.0.0.1", port=int(where[0]))
    contents = Contents()
    fill(server.add_slave(slave), contents)
    server.start()
    # Last, so that who reaches the control port finds the device served.
    contents.control(int(control_port))


main()
