/* libmodbus as a client of our server: each function it offers, each answer checked.
 *
 *     libmodbus_client HOST PORT
 *     libmodbus_client DEVICE rtu
 *
 * The server is `port502 serve --preset full`: every unit, 65,536 of each table, zeros, all functions offered.
 * Prints `ok NAME` or `FAIL NAME: why` for each check, then a summary, and ends with 1 when any failed.
 */
#include <errno.h>
#include <modbus.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static modbus_t *ctx;
static int passed, failed;
static const char *name;
static char why[256];

/* Begins a check. What follows notes its first failure; end() prints the line. */
static void begin(const char *check)
{
    name = check;
    why[0] = 0;
}

static void end(void)
{
    if (why[0]) {
        failed++;
        printf("FAIL %s: %s\n", name, why);
    } else {
        passed++;
        printf("ok %s\n", name);
    }
    fflush(stdout);
}

/* A call must return exactly this. */
static int want(const char *call, int got, int expected)
{
    if (got == expected)
        return 1;
    if (!why[0])
        snprintf(why, sizeof why, "%s: want %d, got %d (%s)", call, expected, got,
                 got == -1 ? modbus_strerror(errno) : "no error");
    return 0;
}

/* A call must be refused with this exception. */
static void refused(const char *call, int got, int expected_errno)
{
    if ((got != -1 || errno != expected_errno) && !why[0])
        snprintf(why, sizeof why, "%s: want \"%s\", got %d (%s)", call, modbus_strerror(expected_errno), got,
                 got == -1 ? modbus_strerror(errno) : "no error");
}

static void same(const char *what, unsigned got, unsigned expected)
{
    if (got != expected && !why[0])
        snprintf(why, sizeof why, "%s: want %u, got %u", what, expected, got);
}

int main(int argc, char **argv)
{
    static uint8_t bits[MODBUS_MAX_READ_BITS], bits_back[MODBUS_MAX_READ_BITS];
    static uint16_t regs[MODBUS_MAX_READ_REGISTERS], regs_back[MODBUS_MAX_READ_REGISTERS];
    int i, n;

    if (argc != 3) {
        fprintf(stderr, "libmodbus_client HOST PORT, or DEVICE rtu\n");
        return 2;
    }
    alarm(60); /* never hangs a test run */
    int rtu = !strcmp(argv[2], "rtu");
    ctx = rtu ? modbus_new_rtu(argv[1], 115200, 'N', 8, 1) : modbus_new_tcp(argv[1], atoi(argv[2]));
    if (!ctx) {
        fprintf(stderr, "libmodbus_client: %s\n", modbus_strerror(errno));
        return 2;
    }
    modbus_set_slave(ctx, 1);
    modbus_set_response_timeout(ctx, 3, 0);
    if (modbus_connect(ctx) == -1) {
        printf("FAIL connect: nothing answers on %s:%s: %s\n", argv[1], argv[2], modbus_strerror(errno));
        return 1;
    }

    begin("read_bits, 1 to 2000");
    for (i = 0; i < 5; i++) {
        static const int counts[] = {1, 7, 8, 9, MODBUS_MAX_READ_BITS};
        memset(bits, 0xAA, sizeof bits);
        if (want("read_bits", modbus_read_bits(ctx, 0, counts[i], bits), counts[i]))
            for (n = 0; n < counts[i]; n++)
                same("coil", bits[n], 0);
    }
    end();

    begin("read_input_bits, 1 to 2000");
    for (i = 0; i < 5; i++) {
        static const int counts[] = {1, 7, 8, 9, MODBUS_MAX_READ_BITS};
        memset(bits, 0xAA, sizeof bits);
        if (want("read_input_bits", modbus_read_input_bits(ctx, 0, counts[i], bits), counts[i]))
            for (n = 0; n < counts[i]; n++)
                same("discrete input", bits[n], 0);
    }
    end();

    begin("read_registers, 1 to 125");
    for (i = 0; i < 3; i++) {
        static const int counts[] = {1, 2, MODBUS_MAX_READ_REGISTERS};
        memset(regs, 0xAA, sizeof regs);
        if (want("read_registers", modbus_read_registers(ctx, 0, counts[i], regs), counts[i]))
            for (n = 0; n < counts[i]; n++)
                same("holding register", regs[n], 0);
    }
    end();

    begin("read_input_registers, 1 to 125");
    for (i = 0; i < 3; i++) {
        static const int counts[] = {1, 2, MODBUS_MAX_READ_REGISTERS};
        memset(regs, 0xAA, sizeof regs);
        if (want("read_input_registers", modbus_read_input_registers(ctx, 0, counts[i], regs), counts[i]))
            for (n = 0; n < counts[i]; n++)
                same("input register", regs[n], 0);
    }
    end();

    begin("write_bit on and off");
    for (i = 1; i >= 0; i--) {
        want("write_bit", modbus_write_bit(ctx, 17, i), 1);
        if (want("read_bits", modbus_read_bits(ctx, 16, 3, bits), 3)) {
            same("coil 16", bits[0], 0);
            same("coil 17", bits[1], (unsigned) i);
            same("coil 18", bits[2], 0);
        }
    }
    end();

    begin("write_register");
    want("write_register", modbus_write_register(ctx, 100, 0x1234), 1);
    if (want("read_registers", modbus_read_registers(ctx, 99, 3, regs), 3)) {
        same("register 99", regs[0], 0);
        same("register 100", regs[1], 0x1234);
        same("register 101", regs[2], 0);
    }
    end();

    begin("write_bits, 1 to 1968");
    for (i = 0; i < 4; i++) {
        static const int counts[] = {1, 8, 10, MODBUS_MAX_WRITE_BITS};
        for (n = 0; n < counts[i]; n++)
            bits[n] = n % 3 == 0;
        want("write_bits", modbus_write_bits(ctx, 300, counts[i], bits), counts[i]);
        if (want("read_bits", modbus_read_bits(ctx, 300, counts[i], bits_back), counts[i]))
            for (n = 0; n < counts[i]; n++)
                same("coil", bits_back[n], bits[n]);
    }
    end();

    begin("write_registers, 1 to 123");
    for (i = 0; i < 3; i++) {
        static const int counts[] = {1, 2, MODBUS_MAX_WRITE_REGISTERS};
        for (n = 0; n < counts[i]; n++)
            regs[n] = (uint16_t) (n * 257 + i);
        want("write_registers", modbus_write_registers(ctx, 500, counts[i], regs), counts[i]);
        if (want("read_registers", modbus_read_registers(ctx, 500, counts[i], regs_back), counts[i]))
            for (n = 0; n < counts[i]; n++)
                same("register", regs_back[n], regs[n]);
    }
    end();

    begin("mask_write_register, the example of the specification");
    want("write_register", modbus_write_register(ctx, 4, 0x12), 1);
    want("mask_write_register", modbus_mask_write_register(ctx, 4, 0xF2, 0x25), 1);
    if (want("read_registers", modbus_read_registers(ctx, 4, 1, regs), 1))
        same("register", regs[0], 0x17);
    end();

    begin("write_and_read_registers writes before it reads");
    for (n = 0; n < MODBUS_MAX_WR_WRITE_REGISTERS; n++)
        regs[n] = (uint16_t) (n + 1000);
    if (want("write_and_read_registers",
             modbus_write_and_read_registers(ctx, 2000, MODBUS_MAX_WR_WRITE_REGISTERS, regs, 2000,
                                             MODBUS_MAX_WR_READ_REGISTERS, regs_back),
             MODBUS_MAX_WR_READ_REGISTERS))
        for (n = 0; n < MODBUS_MAX_WR_READ_REGISTERS; n++)
            same("register", regs_back[n], n < MODBUS_MAX_WR_WRITE_REGISTERS ? regs[n] : 0);
    end();

    begin("report_slave_id: an identifier, and running");
    {
        /* libmodbus hands out what follows the byte count; how long the identifier is, only the device knows. */
        uint8_t id[MODBUS_MAX_PDU_LENGTH];
        n = modbus_report_slave_id(ctx, sizeof id, id);
        if (n < 2)
            want("report_slave_id", n, 2);
        else if (!memchr(id, 0xFF, (size_t) n))
            snprintf(why, sizeof why, "no run indicator of FF in %d bytes", n);
    }
    end();

    begin("the last address of each table, and no further");
    want("read_bits", modbus_read_bits(ctx, 0xFFFF, 1, bits), 1);
    want("read_input_bits", modbus_read_input_bits(ctx, 0xFFFF, 1, bits), 1);
    want("read_registers", modbus_read_registers(ctx, 0xFFFF, 1, regs), 1);
    want("read_input_registers", modbus_read_input_registers(ctx, 0xFFFF, 1, regs), 1);
    refused("read_bits", modbus_read_bits(ctx, 0xFFFF, 2, bits), EMBXILADD);
    refused("read_input_bits", modbus_read_input_bits(ctx, 0xFFFF, 2, bits), EMBXILADD);
    refused("read_registers", modbus_read_registers(ctx, 0xFFFF, 2, regs), EMBXILADD);
    refused("read_input_registers", modbus_read_input_registers(ctx, 0xFFFF, 2, regs), EMBXILADD);
    regs[0] = regs[1] = 7;
    bits[0] = bits[1] = 1;
    refused("write_registers", modbus_write_registers(ctx, 0xFFFF, 2, regs), EMBXILADD);
    refused("write_bits", modbus_write_bits(ctx, 0xFFFF, 2, bits), EMBXILADD);
    refused("write_and_read_registers",
            modbus_write_and_read_registers(ctx, 0xFFFF, 2, regs, 0, 1, regs_back), EMBXILADD);
    if (want("read_registers", modbus_read_registers(ctx, 0xFFFF, 1, regs), 1))
        same("register 65535 after the refusals", regs[0], 0);
    end();

    /* Bytes of our own in a frame of libmodbus's: quantities that its functions refuse to send. */
    begin("send_raw_request: quantity 126 and function 0x42");
    {
        uint8_t too_many[] = {1, 0x03, 0x00, 0x00, 0x00, 126};
        uint8_t unknown[] = {1, 0x42, 0x00};
        uint8_t answer[MODBUS_TCP_MAX_ADU_LENGTH];
        /* MBAP: six bytes more in front. RTU: a CRC behind. */
        int at = rtu ? 1 : 7, around = rtu ? 2 : 6, whole = rtu ? 5 : 9;
        want("send_raw_request", modbus_send_raw_request(ctx, too_many, sizeof too_many), 6 + around);
        if (want("receive_confirmation", modbus_receive_confirmation(ctx, answer), whole)) {
            same("function", answer[at], 0x83);
            same("exception", answer[at + 1], 3);
        }
        want("send_raw_request", modbus_send_raw_request(ctx, unknown, sizeof unknown), 3 + around);
        if (want("receive_confirmation", modbus_receive_confirmation(ctx, answer), whole)) {
            same("function", answer[at], 0xC2);
            same("exception", answer[at + 1], 1);
        }
    }
    end();

    begin("unit 255, which is libmodbus's default over TCP");
    if (!rtu) {
        modbus_set_slave(ctx, MODBUS_TCP_SLAVE);
        want("read_registers", modbus_read_registers(ctx, 100, 1, regs), 1);
    }
    end();

    modbus_close(ctx);
    modbus_free(ctx);
    printf("libmodbus client: %d passed, %d failed\n", passed, failed);
    return failed ? 1 : 0;
}
