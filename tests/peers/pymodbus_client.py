"""pymodbus as a client of our server: every function its client offers, each answer checked.

    pymodbus_client.py HOST PORT [LINK]        LINK: tcp, udp, rtu+tcp, tls
    pymodbus_client.py DEVICE 0 rtu|ascii      a serial port

For tls PORT502_PKI names a folder with client.pem, client.key and ca.pem.

The server is `port502 serve --preset full`: every unit, 65,536 of each table, zeros, all functions offered.
Prints `ok NAME` or `FAIL NAME: why` for each check, then a summary, and ends with 1 when any failed.

What is right is what Modbus Application Protocol V1.1b3 says; where pymodbus differs from it, the comment
beside the check says so and the check follows the specification.
"""

import logging
import os
import ssl
import sys

from pymodbus import FramerType
from pymodbus.client import ModbusSerialClient, ModbusTcpClient, ModbusTlsClient, ModbusUdpClient
from pymodbus.client.mixin import ModbusClientMixin
from pymodbus.exceptions import ModbusIOException
from pymodbus.pdu.file_message import FileRecord

ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE = 1, 2, 3

# The silences below are meant, so pymodbus need not log each as an error.
logging.getLogger("pymodbus").setLevel(logging.CRITICAL)

HOST, PORT = sys.argv[1], int(sys.argv[2])
LINK = sys.argv[3] if len(sys.argv) > 3 else "tcp"
SERIAL = LINK in ("rtu", "ascii")
# On a line unit 0 is the broadcast, which nobody answers.
LINE = LINK not in ("tcp", "udp", "tls")

RTU = LINK in ("rtu", "rtu+tcp")

CLIENT, FRAMER = {
    "tcp": (ModbusTcpClient, FramerType.SOCKET),
    "udp": (ModbusUdpClient, FramerType.SOCKET),
    "tls": (ModbusTlsClient, FramerType.TLS),
    "rtu+tcp": (ModbusTcpClient, FramerType.RTU),
    "rtu": (ModbusSerialClient, FramerType.RTU),
    "ascii": (ModbusSerialClient, FramerType.ASCII),
}[LINK]


class Recorder(CLIENT):
    """A client that remembers which of its functions were called, so that none can be forgotten."""

    called: set[str] = set()

    def __getattribute__(self, name):
        if name in OFFERED:
            Recorder.called.add(name)
        return super().__getattribute__(name)


# Everything that becomes a request. `execute` is the way below them all, `convert_*` never leave the process.
OFFERED = {
    name
    for name in vars(ModbusClientMixin)
    if name.startswith(("read", "write", "diag", "report", "mask"))
}


def connect(timeout=3.0):
    if SERIAL:
        client = Recorder(HOST, framer=FRAMER, baudrate=115200, timeout=timeout, retries=0)
    elif LINK == "tls":
        pki = os.environ["PORT502_PKI"]
        context = ssl.create_default_context(cafile=f"{pki}/ca.pem")
        # pymodbus does not tell ssl which host it connects to.
        context.check_hostname = False
        context.load_cert_chain(f"{pki}/client.pem", f"{pki}/client.key")
        client = Recorder(HOST, port=PORT, framer=FRAMER, sslctx=context, timeout=timeout, retries=0)
    else:
        client = Recorder(HOST, port=PORT, framer=FRAMER, timeout=timeout, retries=0)
    if not client.connect():
        sys.exit(f"FAIL connect: nothing answers on {HOST}:{PORT}")
    return client


passed = failed = 0


def check(name):
    """Runs the function below it as one check."""

    def run(function):
        global passed, failed
        try:
            function()
        except Exception as error:  # noqa: BLE001 - a broken answer may raise anything, and the rest still runs
            failed += 1
            print(f"FAIL {name}: {type(error).__name__}: {error}", flush=True)
        else:
            passed += 1
            print(f"ok {name}", flush=True)

    return run


def good(response):
    """The response, which must be normal and from the unit that was asked."""
    assert not response.isError(), f"want a normal response, got {response}"
    return response


def refused(response, code):
    assert response.isError(), f"want exception {code}, got {response}"
    assert response.exception_code == code, f"want exception {code}, got {response}"


def same(got, want, what="value"):
    assert got == want, f"{what}: want {want!r}, got {got!r}"


c = connect()

# ---- the four tables ------------------------------------------------------------------------------------------


@check("read_coils, 1 to 2000 of them, all off")
def _():
    for count in (1, 7, 8, 9, 2000):
        # pymodbus hands out the padding bits too: more bits than were asked for.
        bits = good(c.read_coils(0, count=count)).bits
        same(len(bits), (count + 7) // 8 * 8, "bits including padding")
        assert not any(bits), "a fresh server holds zeros, in the padding bits too"


@check("read_discrete_inputs, 1 to 2000 of them, all off")
def _():
    for count in (1, 7, 8, 9, 2000):
        bits = good(c.read_discrete_inputs(0, count=count)).bits
        same(len(bits), (count + 7) // 8 * 8, "bits including padding")
        assert not any(bits)


@check("read_holding_registers, 1 to 125 of them, all zero")
def _():
    for count in (1, 2, 124, 125):
        same(good(c.read_holding_registers(0, count=count)).registers, [0] * count)


@check("read_input_registers, 1 to 125 of them, all zero")
def _():
    for count in (1, 2, 124, 125):
        same(good(c.read_input_registers(0, count=count)).registers, [0] * count)


@check("write_coil on and off")
def _():
    for value in (True, False, True):
        response = good(c.write_coil(17, value))
        same((response.address, response.bits[0]), (17, value), "echo")
        same(good(c.read_coils(16, count=3)).bits[:3], [False, value, False])


@check("write_register")
def _():
    for value in (0, 1, 0x1234, 0xFFFF):
        response = good(c.write_register(100, value))
        same((response.address, response.registers), (100, [value]), "echo")
        same(good(c.read_holding_registers(99, count=3)).registers, [0, value, 0])


@check("write_coils, 1 to 1968 of them")
def _():
    for count in (1, 7, 8, 9, 10, 1968):
        bits = [i % 3 == 0 for i in range(count)]
        response = good(c.write_coils(300, bits))
        same((response.address, response.count), (300, count), "echo")
        same(good(c.read_coils(300, count=count)).bits[:count], bits)
    # The coil behind the last one keeps its value.
    same(good(c.read_coils(300 + 1968, count=1)).bits[:1], [False])


@check("write_registers, 1 to 123 of them")
def _():
    for count in (1, 2, 123):
        values = [(i * 257 + count) & 0xFFFF for i in range(count)]
        response = good(c.write_registers(500, values))
        same((response.address, response.count), (500, count), "echo")
        same(good(c.read_holding_registers(500, count=count)).registers, values)
    same(good(c.read_holding_registers(623, count=1)).registers, [0])


@check("mask_write_register, the example of the specification")
def _():
    good(c.write_register(4, 0x12))
    response = good(c.mask_write_register(address=4, and_mask=0xF2, or_mask=0x25))
    same((response.address, response.and_mask, response.or_mask), (4, 0xF2, 0x25), "echo")
    same(good(c.read_holding_registers(4, count=1)).registers, [0x17])


@check("readwrite_registers writes before it reads")
def _():
    values = [0x00FF, 0x1111, 0x2222]
    response = good(c.readwrite_registers(read_address=13, read_count=6, write_address=14, values=values))
    same(response.registers, [0, *values, 0, 0])
    # 121 written and 125 read in one transaction: the most either may carry.
    values = list(range(1000, 1121))
    response = good(c.readwrite_registers(read_address=2000, read_count=125, write_address=2000, values=values))
    same(response.registers, values + [0] * 4)


@check("the last address of each table, and no further")
def _():
    good(c.read_coils(0xFFFF, count=1))
    good(c.read_discrete_inputs(0xFFFF, count=1))
    good(c.read_holding_registers(0xFFFF, count=1))
    good(c.read_input_registers(0xFFFF, count=1))
    good(c.write_register(0xFFFF, 7))
    good(c.write_coil(0xFFFF, True))
    refused(c.read_coils(0xFFFF, count=2), ILLEGAL_ADDRESS)
    refused(c.read_discrete_inputs(0xFFFF, count=2), ILLEGAL_ADDRESS)
    refused(c.read_holding_registers(0xFFFF, count=2), ILLEGAL_ADDRESS)
    refused(c.read_input_registers(0xFFFF, count=2), ILLEGAL_ADDRESS)
    refused(c.write_registers(0xFFFF, [1, 2]), ILLEGAL_ADDRESS)
    refused(c.write_coils(0xFFFF, [False, False]), ILLEGAL_ADDRESS)
    refused(c.readwrite_registers(read_address=0, read_count=1, write_address=0xFFFF, values=[1, 2]), ILLEGAL_ADDRESS)
    refused(c.readwrite_registers(read_address=0xFFFF, read_count=2, write_address=0, values=[1]), ILLEGAL_ADDRESS)
    # Refused means: not even its first part was written.
    same(good(c.read_holding_registers(0xFFFF, count=1)).registers, [7])
    same(good(c.read_coils(0xFFFF, count=1)).bits[:1], [True])
    same(good(c.read_holding_registers(0, count=1)).registers, [0])


@check("units 0, 1, 247 and 255 answer as themselves")
def _():
    for unit in (1, 247, 255) if LINE else (0, 1, 247, 255):
        same(good(c.read_holding_registers(600, count=1, device_id=unit)).dev_id, unit, "unit of the response")


# ---- files and queues -----------------------------------------------------------------------------------------


@check("write_file_record, then read_file_record")
def _():
    # pymodbus counts record_length in bytes when a request is made, and the wire in registers.
    data = bytes.fromhex("06AF04BE100D")
    written = good(c.write_file_record([FileRecord(file_number=4, record_number=7, record_data=data)]))
    same(
        [(r.file_number, r.record_number, r.record_data) for r in written.records], [(4, 7, data)], "echo"
    )
    read = good(c.read_file_record([FileRecord(file_number=4, record_number=7, record_length=6)]))
    same([r.record_data for r in read.records], [data])


@check("read_file_record, two groups at once")
def _():
    good(
        c.write_file_record(
            [
                FileRecord(file_number=4, record_number=1, record_data=b"\x0d\xfe\x00\x20"),
                FileRecord(file_number=3, record_number=9, record_data=b"\x33\xcd\x00\x40"),
            ]
        )
    )
    read = good(
        c.read_file_record(
            [
                FileRecord(file_number=4, record_number=1, record_length=4),
                FileRecord(file_number=3, record_number=9, record_length=4),
            ]
        )
    )
    same([r.record_data for r in read.records], [b"\x0d\xfe\x00\x20", b"\x33\xcd\x00\x40"])


@check("file 0 and record 10000 do not exist")
def _():
    refused(c.read_file_record([FileRecord(file_number=0, record_number=1, record_length=2)]), ILLEGAL_ADDRESS)
    refused(c.read_file_record([FileRecord(file_number=4, record_number=10000, record_length=2)]), ILLEGAL_ADDRESS)
    refused(c.write_file_record([FileRecord(file_number=0, record_number=1, record_data=b"\1\2")]), ILLEGAL_ADDRESS)


@check("read_fifo_queue, empty and at most 31 long")
def _():
    try:
        same(good(c.read_fifo_queue(address=0x4DE)).values, [])
    except ModbusIOException:
        # pymodbus takes a frame of it for two bytes shorter than it is: unit, function and CRC are 4 bytes, and the
        # byte count itself has 2 (6.18). Over RTU it so finds no right CRC in any answer.
        assert RTU


# ---- who are you ----------------------------------------------------------------------------------------------


@check("report_device_id: an identifier, and running")
def _():
    response = good(c.report_device_id())
    assert response.identifier, "an empty server id"
    # pymodbus takes the last byte for the run indicator. Additional data may follow it (6.13), and then it is among
    # what pymodbus takes for the identifier.
    assert response.status or b"\xff" in response.identifier, f"no run indicator of FF in {response.identifier}"


@check("read_exception_status: eight outputs, all off")
def _():
    same(good(c.read_exception_status()).status, 0)


def identification(code, first=0):
    """All objects of one read code, asked for again while more follow."""
    objects, start = {}, first
    for _ in range(0x100):
        response = good(c.read_device_information(read_code=code, object_id=start))
        same(response.read_code, code, "read code of the response")
        assert response.conformity in (1, 2, 3, 0x81, 0x82, 0x83), f"conformity {response.conformity:#x}"
        same(response.number_of_objects, len(response.information), "number of objects")
        objects.update(response.information)
        if not response.more_follows:
            same(response.next_object_id, 0, "next object when no more follow")
            return objects
        assert response.next_object_id > start, "the next object lies behind the first"
        start = response.next_object_id
    raise AssertionError("more always follows")


@check("read_device_information, basic")
def _():
    objects = identification(1)
    same(sorted(objects), [0, 1, 2], "objects")
    assert all(objects.values()), f"an empty mandatory object in {objects}"


@check("read_device_information, regular")
def _():
    objects = identification(2)
    assert {0, 1, 2} <= set(objects) <= set(range(7)), f"objects {sorted(objects)}"


@check("read_device_information, extended")
def _():
    objects = identification(3)
    assert {0, 1, 2} <= set(objects), f"objects {sorted(objects)}"
    assert not set(objects) & set(range(7, 0x80)), f"reserved objects in {sorted(objects)}"


@check("read_device_information, one object alone")
def _():
    basic = identification(1)
    for number, value in basic.items():
        same(good(c.read_device_information(read_code=4, object_id=number)).information, {number: value})
    refused(c.read_device_information(read_code=4, object_id=0x7F), ILLEGAL_ADDRESS)


@check("read_device_information: an unknown first object starts at 0, read code 5 is refused")
def _():
    same(identification(1, first=0x7F), identification(1))
    # Read code 0 cannot be sent: pymodbus takes it for "not given" and sends 1.
    refused(c.read_device_information(read_code=5), ILLEGAL_VALUE)


# ---- diagnostics ----------------------------------------------------------------------------------------------


@check("diag_query_data comes back as it was sent")
def _():
    # Over RTU pymodbus takes each diagnostics frame for 8 bytes long; 6.8.1 has N times two bytes of data here.
    for data in (b"\xa5\x37",) if RTU else (b"\xa5\x37", b"\x00\x00\x01\x02", bytes(range(200))):
        same(good(c.diag_query_data(data)).message, data)


@check("diag_read_diagnostic_register")
def _():
    same(good(c.diag_read_diagnostic_register()).message, 0)


@check("diag_change_ascii_input_delimeter")
def _():
    # The character is the high byte and the low byte is 0 (6.8.1). pymodbus sends its argument as one number,
    # so that its default of 0x0A goes out as 00 0A: to say LF the argument has to be 0x0A00.
    same(good(c.diag_change_ascii_input_delimeter(delimiter=0x0A00)).message, 0x0A00)


COUNTERS = (
    "diag_read_bus_message_count",
    "diag_read_bus_comm_error_count",
    "diag_read_bus_exception_error_count",
    "diag_read_device_message_count",
    "diag_read_device_no_response_count",
    "diag_read_device_nak_count",
    "diag_read_device_busy_count",
    "diag_read_bus_char_overrun_count",
)


def counter(name):
    value = good(getattr(c, name)()).message
    assert isinstance(value, int) and 0 <= value <= 0xFFFF, f"{name} is {value!r}"
    return value


@check("diag_clear_counters, then every counter")
def _():
    same(good(c.diag_clear_counters()).message, 0, "echo")
    for name in COUNTERS:
        if "message" not in name:  # the two that count these very requests
            same(counter(name), 0, name)
    for name in ("diag_read_bus_message_count", "diag_read_device_message_count"):
        first = counter(name)
        good(c.read_coils(0, count=1))
        same(counter(name) - first, 2, f"{name} after two more messages")


@check("diag_read_bus_exception_error_count counts exceptions")
def _():
    before = counter("diag_read_bus_exception_error_count")
    refused(c.read_holding_registers(0xFFFF, count=2), ILLEGAL_ADDRESS)
    same(counter("diag_read_bus_exception_error_count") - before, 1)


@check("diag_clear_overrun_counter")
def _():
    same(good(c.diag_clear_overrun_counter()).message, 0, "echo")


@check("diag_read_iop_overrun_count and diag_getclear_modbus_response are reserved")
def _():
    # Sub-functions 19 and 21 (6.8.1): of an 884 and of Modbus Plus, never of a public server.
    refused(c.diag_read_iop_overrun_count(), ILLEGAL_FUNCTION)
    refused(c.diag_getclear_modbus_response(data=3), ILLEGAL_FUNCTION)


def events():
    response = good(c.diag_get_comm_event_counter())
    same(response.status, True, "ready")
    return response.count


@check("diag_get_comm_event_counter counts what succeeded, and not itself")
def _():
    first = events()
    same(events(), first, "after fetching it")
    good(c.read_coils(0, count=1))
    same(events(), first + 1, "after one read")
    refused(c.read_holding_registers(0xFFFF, count=2), ILLEGAL_ADDRESS)
    same(events(), first + 1, "after one exception")


@check("diag_get_comm_event_log")
def _():
    count = events()
    refused(c.read_holding_registers(0xFFFF, count=2), ILLEGAL_ADDRESS)
    response = good(c.diag_get_comm_event_log())
    same(response.status, True, "ready")
    same(response.event_count, count, "event count, as of the counter")
    same(response.message_count + 1, counter("diag_read_bus_message_count"), "message count, as of the counter")
    assert 0 < len(response.events) <= 64, f"{len(response.events)} events"
    # Newest first: this request received, before it the exception sent (6.10: bit 6, and bit 0 for codes 1-3).
    same([f"{e:02x}" for e in response.events[:2]], ["80", "41"], "newest events")


@check("diag_restart_communication echoes, and clears the log when asked")
def _():
    same(good(c.diag_restart_communication(False)).message, 0x0000, "echo")
    kept = good(c.diag_get_comm_event_log())
    assert len(kept.events) > 4, f"the log is kept: {kept.events}"
    same(good(c.diag_restart_communication(True)).message, 0xFF00, "echo")
    cleared = good(c.diag_get_comm_event_log())
    assert len(cleared.events) <= 3, f"the log is cleared: {cleared.events}"
    same(cleared.event_count <= 1, True, "event counter cleared")


@check("diag_force_listen_only silences the server until diag_restart_communication")
def _():
    # Its own connection, with a short time to wait: what comes next is silence. A serial port is opened once.
    if SERIAL:
        c.close()
    quiet = connect(timeout=0.5)
    try:
        quiet.diag_force_listen_only()
        try:
            answer = quiet.read_holding_registers(0, count=1)
        except ModbusIOException:
            pass
        else:
            raise AssertionError(f"want silence, got {answer}")
        # In this mode the restart is carried out, but not answered either (6.8.1).
        quiet.diag_restart_communication(False, no_response_expected=True)
    finally:
        quiet.close()
    again = connect()
    good(again.read_holding_registers(0, count=1))
    again.close()


c.close()


@check("every function that pymodbus offers was called")
def _():
    missing = sorted(OFFERED - Recorder.called)
    assert not missing, ", ".join(missing)


print(f"pymodbus client: {passed} passed, {failed} failed", flush=True)
sys.exit(1 if failed else 0)
