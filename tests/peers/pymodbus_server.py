"""pymodbus as a server for our client.

    pymodbus_server.py PORT [LINK]             LINK: tcp, udp, rtu+tcp, tls; 0 lets the system choose
    pymodbus_server.py DEVICE rtu|ascii        a serial port

For tls PORT502_PKI names a folder with server.pem, server.key and ca.pem; clients have to show a certificate.

Prints `listening PORT`. Holds 1,024 of each table, addresses 0 to 1023, for every unit: holding register
a = a XOR 0xA5C3, input register a = a, coil a is on when 3 divides a, discrete input a when 5 does. Takes
writes. Lives as long as its standard input stays open, and five minutes at most.
"""

import asyncio
import os
import ssl
import sys

from pymodbus import FramerType, ModbusDeviceIdentification
from pymodbus.server import ModbusSerialServer, ModbusTcpServer, ModbusTlsServer, ModbusUdpServer
from pymodbus.simulator import DataType, SimData, SimDevice

COUNT = 1024
SECONDS_MAX = 300


def registers(value):
    return [SimData(0, values=[value(a) for a in range(COUNT)], datatype=DataType.REGISTERS)]


def bits(value):
    return [SimData(0, values=[value(a) for a in range(COUNT)], datatype=DataType.BITS)]


async def main(where, link):
    device = SimDevice(
        0,  # every unit
        simdata=(
            bits(lambda a: a % 3 == 0),
            bits(lambda a: a % 5 == 0),
            registers(lambda a: a ^ 0xA5C3),
            registers(lambda a: a),
        ),
    )
    identity = ModbusDeviceIdentification(
        info_name={
            "VendorName": "pymodbus peer",
            "ProductCode": "P502",
            "MajorMinorRevision": "3.16",
            "VendorUrl": "https://example.org",
            "ProductName": "pattern server",
            "ModelName": "1024",
            "UserApplicationName": "port502 tests",
        }
    )
    framer = {"rtu": FramerType.RTU, "rtu+tcp": FramerType.RTU, "ascii": FramerType.ASCII}.get(link, FramerType.SOCKET)
    if link in ("rtu", "ascii"):
        server = ModbusSerialServer(device, identity=identity, framer=framer, port=where, baudrate=115200)
    elif link == "tls":
        pki = os.environ["PORT502_PKI"]
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=f"{pki}/ca.pem")
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(f"{pki}/server.pem", f"{pki}/server.key")
        server = ModbusTlsServer(device, identity=identity, address=("127.0.0.1", int(where)), sslctx=context)
    else:
        kind = ModbusUdpServer if link == "udp" else ModbusTcpServer
        server = kind(device, identity=identity, framer=framer, address=("127.0.0.1", int(where)))
    await server.serve_forever(background=True)
    if link in ("rtu", "ascii"):
        port = 0
    elif link == "udp":
        port = server.transport.get_extra_info("sockname")[1]
    else:
        port = server.transport.sockets[0].getsockname()[1]
    print("listening", port, flush=True)

    stdin_closed = asyncio.Event()
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)

    async def until_closed():
        while await reader.read(1024):
            pass
        stdin_closed.set()

    task = asyncio.create_task(until_closed())
    try:
        await asyncio.wait_for(stdin_closed.wait(), SECONDS_MAX)
    except asyncio.TimeoutError:
        pass
    task.cancel()
    await server.shutdown()


asyncio.run(main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "tcp"))
