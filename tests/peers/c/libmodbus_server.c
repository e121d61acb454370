/* libmodbus as a server for our client.
 *
 *     libmodbus_server PORT          0 lets the system choose
 *     libmodbus_server DEVICE rtu    as unit 1
 *
 * Prints `listening PORT`. Holds 1,024 of each table, addresses 0 to 1023: holding register a = a XOR 0xA5C3,
 * input register a = a, coil a is on when 3 divides a, discrete input a when 5 does. Takes writes. Lives as long
 * as its standard input stays open, and five minutes at most.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <modbus.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

#define COUNT 1024
#define SECONDS_MAX 300

/* Serves one serial port until standard input ends. */
static int serve_rtu(modbus_t *ctx, modbus_mapping_t *map)
{
    if (modbus_set_slave(ctx, 1) < 0 || modbus_connect(ctx) < 0) {
        fprintf(stderr, "libmodbus_server: %s\n", modbus_strerror(errno));
        return 1;
    }
    printf("listening 0\n");
    fflush(stdout);
    int port = modbus_get_socket(ctx);
    for (;;) {
        fd_set ready;
        FD_ZERO(&ready);
        FD_SET(STDIN_FILENO, &ready);
        FD_SET(port, &ready);
        if (select(port + 1, &ready, NULL, NULL, NULL) < 0)
            return 1;
        if (FD_ISSET(STDIN_FILENO, &ready)) {
            char ignored[64];
            if (read(STDIN_FILENO, ignored, sizeof ignored) <= 0)
                return 0;
        }
        if (FD_ISSET(port, &ready)) {
            uint8_t query[MODBUS_RTU_MAX_ADU_LENGTH];
            int got = modbus_receive(ctx, query);
            if (got > 0)
                modbus_reply(ctx, query, got, map);
        }
    }
}

int main(int argc, char **argv)
{
    int rtu = argc == 3 && !strcmp(argv[2], "rtu");
    if (argc != 2 && !rtu) {
        fprintf(stderr, "libmodbus_server PORT, or DEVICE rtu\n");
        return 2;
    }
    alarm(SECONDS_MAX);
    modbus_t *ctx = rtu ? modbus_new_rtu(argv[1], 115200, 'N', 8, 1) : modbus_new_tcp("127.0.0.1", atoi(argv[1]));
    modbus_mapping_t *map = modbus_mapping_new(COUNT, COUNT, COUNT, COUNT);
    if (!ctx || !map) {
        fprintf(stderr, "libmodbus_server: %s\n", modbus_strerror(errno));
        return 1;
    }
    for (int a = 0; a < COUNT; a++) {
        map->tab_bits[a] = a % 3 == 0;
        map->tab_input_bits[a] = a % 5 == 0;
        map->tab_registers[a] = (uint16_t) (a ^ 0xA5C3);
        map->tab_input_registers[a] = (uint16_t) a;
    }
    if (rtu)
        return serve_rtu(ctx, map);
    int listener = modbus_tcp_listen(ctx, 16);
    struct sockaddr_in bound;
    socklen_t length = sizeof bound;
    if (listener < 0 || getsockname(listener, (struct sockaddr *) &bound, &length) < 0) {
        perror("libmodbus_server: listen");
        return 1;
    }
    printf("listening %d\n", ntohs(bound.sin_port));
    fflush(stdout);

    fd_set all;
    FD_ZERO(&all);
    FD_SET(STDIN_FILENO, &all);
    FD_SET(listener, &all);
    int highest = listener;
    for (;;) {
        fd_set ready = all;
        if (select(highest + 1, &ready, NULL, NULL, NULL) < 0)
            return 1;
        for (int fd = 0; fd <= highest; fd++) {
            if (!FD_ISSET(fd, &ready))
                continue;
            if (fd == STDIN_FILENO) {
                char ignored[64];
                if (read(fd, ignored, sizeof ignored) <= 0)
                    return 0;
            } else if (fd == listener) {
                int client = accept(listener, NULL, NULL);
                if (client >= FD_SETSIZE)
                    close(client);
                else if (client >= 0) {
                    FD_SET(client, &all);
                    if (client > highest)
                        highest = client;
                }
            } else {
                uint8_t query[MODBUS_TCP_MAX_ADU_LENGTH];
                modbus_set_socket(ctx, fd);
                int got = modbus_receive(ctx, query);
                if (got > 0)
                    modbus_reply(ctx, query, got, map);
                else if (got < 0) {
                    close(fd);
                    FD_CLR(fd, &all);
                }
            }
        }
    }
}
