"""asyncua as an OPC UA server for `port502 check`.

    opcua_server.py PORT

Prints `listening PORT`. Lives as long as its standard input stays open.
"""

import asyncio
import logging
import sys

from asyncua import Server


async def main(port):
    logging.disable(logging.CRITICAL)
    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}/")
    async with server:
        print("listening", port, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(main(int(sys.argv[1])))
