// modbus-serial as a client of our server: each function it offers, and 20 requests in flight.
//
//     node modbus_serial_client.js HOST PORT
//
// The server is `port502 serve --preset full`: every unit, 65,536 of each table, zeros, all functions offered.
// Prints `ok NAME` or `FAIL NAME: why` for each check, then a summary, and ends with 1 when any failed.
"use strict";

const assert = require("node:assert/strict");
const ModbusRTU = require("modbus-serial");

const [host, port] = process.argv.slice(2);
const IN_FLIGHT = 20;

let passed = 0;
let failed = 0;

async function check(name, run) {
    try {
        await run();
        passed += 1;
        console.log(`ok ${name}`);
    } catch (error) {
        failed += 1;
        console.log(`FAIL ${name}: ${String(error.message).replaceAll("\n", " ")}`);
    }
}

async function refused(promise, code) {
    const outcome = await promise.then((value) => value, (error) => error);
    assert.equal(outcome.modbusCode, code, `want exception ${code}, got ${JSON.stringify(outcome)}`);
}

// What register and coil `address` hold after fill().
const register = (address) => (address * 40503) & 0xffff;
const coil = (address) => address % 3 === 0 || address % 7 === 0;
const range = (start, count) => Array.from({ length: count }, (_, i) => start + i);

async function fill(client) {
    for (let address = 0; address < 1000; address += 100) {
        await client.writeRegisters(address, range(address, 100).map(register));
        await client.writeCoils(address, range(address, 100).map(coil));
    }
}

// The n-th of the requests in flight: each another place and another size, reads of all four tables and writes
// among them, so that an answer handed to the wrong request cannot go unseen.
async function one(client, n) {
    const start = 13 * n;
    const count = 1 + ((n * 7) % 60);
    switch (n % 6) {
        case 0:
        case 1: {
            const { data } = await client.readHoldingRegisters(start, count);
            assert.deepEqual(data, range(start, count).map(register), `holding registers of request ${n}`);
            break;
        }
        case 2: {
            const { data } = await client.readCoils(start, count);
            assert.deepEqual(data.slice(0, count), range(start, count).map(coil), `coils of request ${n}`);
            assert.equal(data.length, Math.ceil(count / 8) * 8, `bytes of request ${n}`);
            break;
        }
        case 3: {
            const { data } = await client.readInputRegisters(start, count);
            assert.deepEqual(data, range(start, count).map(() => 0), `input registers of request ${n}`);
            break;
        }
        case 4: {
            const echo = await client.writeRegister(5000 + n, 31 * n);
            assert.deepEqual(echo, { address: 5000 + n, value: 31 * n }, `echo of request ${n}`);
            break;
        }
        default:
            await refused(client.readHoldingRegisters(0xffff, 2), 2);
    }
}

async function main() {
    const client = new ModbusRTU();
    await client.connectTCP(host, { port: Number(port) });
    client.setID(1);
    client.setTimeout(5000);

    await check("a fresh server holds zeros", async () => {
        assert.deepEqual((await client.readHoldingRegisters(0, 125)).data, Array(125).fill(0));
        assert.deepEqual((await client.readInputRegisters(0, 125)).data, Array(125).fill(0));
        assert.deepEqual((await client.readCoils(0, 2000)).data, Array(2000).fill(false));
        assert.deepEqual((await client.readDiscreteInputs(0, 2000)).data, Array(2000).fill(false));
    });

    await check("writeRegisters, writeCoils and back", async () => {
        await fill(client);
        assert.deepEqual((await client.readHoldingRegisters(0, 125)).data, range(0, 125).map(register));
        assert.deepEqual((await client.readCoils(0, 1000)).data.slice(0, 1000), range(0, 1000).map(coil));
    });

    await check("writeRegister", async () => {
        assert.deepEqual(await client.writeRegister(4000, 0xffff), { address: 4000, value: 0xffff });
        assert.deepEqual((await client.readHoldingRegisters(3999, 3)).data, [0, 0xffff, 0]);
    });

    await check("writeCoil on and off", async () => {
        for (const state of [true, false]) {
            assert.deepEqual(await client.writeCoil(4000, state), { address: 4000, state });
            assert.deepEqual((await client.readCoils(3999, 3)).data.slice(0, 3), [false, state, false]);
        }
    });

    await check("maskWriteRegister, the example of the specification", async () => {
        await client.writeRegister(4001, 0x12);
        assert.deepEqual(await client.maskWriteRegister(4001, 0xf2, 0x25), { address: 4001, andMask: 0xf2, orMask: 0x25 });
        assert.deepEqual((await client.readHoldingRegisters(4001, 1)).data, [0x17]);
    });

    await check("readWriteRegisters writes before it reads", async () => {
        const { data } = await client.readWriteRegisters(4099, 4, 4100, 2, [7, 8]);
        assert.deepEqual(data, [0, 7, 8, 0]);
    });

    await check("readWriteRegisters at its limits", async () => {
        // 125 read and 121 written (6.17). modbus-serial lets 123 through, which no longer fits a PDU.
        const values = range(0, 121).map(register);
        const { data } = await client.readWriteRegisters(4200, 125, 4200, 121, values);
        assert.deepEqual(data, [...values, 0, 0, 0, 0]);
    });

    await check("reportServerID", async () => {
        // Two arguments it does not use: with one, modbus-serial 8.0.25 loses its own callback. It takes the second
        // byte for the run indicator, which holds only for identifiers of one byte, so it is looked for here.
        const answer = await client.reportServerID(0, 0);
        assert.ok(answer.running || answer.additionalData.includes(0xff), `no run indicator in ${JSON.stringify(answer)}`);
    });

    await check("readDeviceIdentification", async () => {
        const basic = await client.readDeviceIdentification(1, 0);
        assert.deepEqual(Object.keys(basic.data), ["0", "1", "2"]);
        const all = await client.readDeviceIdentification(3, 0);
        for (const [id, text] of Object.entries(basic.data)) {
            assert.equal(all.data[id], text, `object ${id}`);
            assert.deepEqual((await client.readDeviceIdentification(4, Number(id))).data, { [id]: text });
        }
        await refused(client.readDeviceIdentification(5, 0), 3);
    });

    await check("readFileRecords", async () => {
        // It always asks for 100 registers. The answer's two bytes of header and its checksum-to-be are among its
        // bytes, so the data is the first 200.
        const { data, length } = await client.readFileRecords(1, 0);
        assert.equal(length, 202);
        assert.deepEqual(data.slice(0, 200), Array(200).fill(0));
    });

    await check("customFunction 0x42 is refused as unknown", () => refused(client.customFunction(0x42, [1, 2, 3]), 1));

    await check(`${IN_FLIGHT} requests in flight, ten times over`, async () => {
        for (let round = 0; round < 10; round += 1) {
            await Promise.all(range(round, IN_FLIGHT).map((n) => one(client, n)));
        }
        const { data } = await client.readHoldingRegisters(5000, 29);
        assert.deepEqual(data, range(0, 29).map((n) => (n % 6 === 4 ? 31 * n : 0)), "what the writes left behind");
    });

    await new Promise((resolve) => client.close(resolve));
    console.log(`modbus-serial client: ${passed} passed, ${failed} failed`);
    process.exit(failed ? 1 : 0);
}

// A promise that never settles would end the process silently with 0; and nothing here takes a minute.
setTimeout(() => {
    console.log("FAIL the run: no end within 60 s");
    process.exit(1);
}, 60_000);

main().catch((error) => {
    console.log(`FAIL the run: ${error.message}`);
    process.exit(1);
});
