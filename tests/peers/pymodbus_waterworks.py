"""pymodbus reads and steers the simulated water works.

    pymodbus_waterworks.py HOST PORT

The server is `port502 serve --site sites/waterworks.toml --speed 200x`: unit 1 the intake, 3 the tank, 4 the booster.
Prints `ok NAME` or `FAIL NAME: why` for each check, and ends with 1 when any failed.
"""

import sys
import time

from pymodbus.client import ModbusTcpClient

HOST, PORT = sys.argv[1], int(sys.argv[2])
client = ModbusTcpClient(HOST, port=PORT, timeout=3.0, retries=0)
if not client.connect():
    sys.exit(f"FAIL connect: nothing answers on {HOST}:{PORT}")

failed = 0


def check(name, good, why=""):
    global failed
    failed += not good
    print(f"ok {name}" if good else f"FAIL {name}: {why}")


def floating(address, unit):
    answer = client.read_holding_registers(address, count=2, device_id=unit)
    assert not answer.isError(), answer
    return client.convert_from_registers(answer.registers, client.DATATYPE.FLOAT32)


def until(name, good, patience=60):
    """Waits for physics, which pass 200 times as fast as here."""
    end = time.monotonic() + patience
    while not good():
        if time.monotonic() > end:
            return check(name, False, f"not within {patience} s")
        time.sleep(0.05)
    check(name, True)


level = floating(0, 3)
check("the tank's level", 2.0 < level < 5.5, f"{level} m")
check("the town's pressure", floating(0, 4) > 3.0)
check("the intake runs", client.read_discrete_inputs(0, count=1, device_id=1).bits[0])

# A set-point is written, taken and read back.
answer = client.write_register(11, 0, device_id=3)
check("shut the outlet", not answer.isError(), answer)
check("read it back", client.read_holding_registers(11, count=1, device_id=3).registers == [0])
until("the valve shuts", lambda: client.read_holding_registers(7, count=1, device_id=3).registers == [0])
until("the town runs dry", lambda: floating(0, 4) < 1.0)
until("the level rises", lambda: floating(0, 3) > level + 0.2)
until("the float trips the pump", lambda: client.read_discrete_inputs(1, count=1, device_id=1).bits[0])
until("the intake stands", lambda: not client.read_discrete_inputs(0, count=1, device_id=1).bits[0])

# Open again, with a block write, and reset the pump when the level has fallen.
answer = client.write_registers(10, [1000, 1000], device_id=3)
check("open inlet and outlet", not answer.isError(), answer)
until("the level falls", lambda: floating(0, 3) < 5.2)
answer = client.write_coil(2, True, device_id=1)
check("reset the pump", not answer.isError(), answer)
until("the intake runs again", lambda: client.read_discrete_inputs(0, count=1, device_id=1).bits[0])

# What no actuator takes, and what is no set-point.
check("no outlet opens to 100.1 %", client.write_register(11, 1001, device_id=3).exception_code == 3)
check("no level is written", client.write_register(0, 0, device_id=3).exception_code == 2)
check("nobody is unit 99", client.read_holding_registers(0, count=1, device_id=99).exception_code == 11)

client.close()
sys.exit(1 if failed else 0)
