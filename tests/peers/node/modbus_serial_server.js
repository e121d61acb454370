// modbus-serial as a server for our client.
//
//     node modbus_serial_server.js PORT          0 lets the system choose
//
// Prints `listening PORT`. Holds 1,024 of each table, addresses 0 to 1023, for every unit: holding register
// a = a XOR 0xA5C3, input register a = a, coil a is on when 3 divides a, discrete input a when 5 does. Takes
// writes. Lives as long as its standard input stays open, and five minutes at most.
"use strict";

const ModbusRTU = require("modbus-serial");

const COUNT = 1024;
const SECONDS_MAX = 300;

const all = (value) => Array.from({ length: COUNT }, (_, address) => value(address));
const tables = {
    coil: all((a) => a % 3 === 0),
    discrete: all((a) => a % 5 === 0),
    holding: all((a) => a ^ 0xa5c3),
    input: all((a) => a)
};

// Refuses what lies outside with exception 2.
function at(address) {
    if (address < COUNT) return address;
    const error = new Error(`no address ${address}`);
    error.modbusErrorCode = 2;
    throw error;
}

const vector = {
    getCoil: async (address) => tables.coil[at(address)],
    getDiscreteInput: async (address) => tables.discrete[at(address)],
    getHoldingRegister: async (address) => tables.holding[at(address)],
    getInputRegister: async (address) => tables.input[at(address)],
    setCoil: async (address, value) => {
        tables.coil[at(address)] = value;
    },
    setRegister: async (address, value) => {
        tables.holding[at(address)] = value;
    },
    readDeviceIdentification: async () => ({
        0x00: "modbus-serial peer",
        0x01: "P502",
        0x02: "8.0",
        0x03: "https://example.org",
        0x04: "pattern server"
    })
};

// A string, because modbus-serial 8.0.25 takes the number 0 for "not given" and would listen on 502.
const server = new ModbusRTU.ServerTCP(vector, { host: "127.0.0.1", port: String(process.argv[2]), unitID: 255 });
server.on("initialized", () => console.log(`listening ${server._server.address().port}`));
server.on("serverError", (error) => {
    console.error(`modbus_serial_server: ${error.message}`);
    process.exit(1);
});
server.on("socketError", () => {}); // a client that goes away is no reason to stop

process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
process.stdin.on("error", () => process.exit(0));
setTimeout(() => process.exit(0), SECONDS_MAX * 1000);
