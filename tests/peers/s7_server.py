"""python-snap7 as an S7 server for `port502 check`.

    s7_server.py PORT

Prints `listening PORT`. Lives as long as its standard input stays open.
"""

import sys

from snap7.server import Server

server = Server(log=False)
server.start(tcp_port=int(sys.argv[1]))
print("listening", server.port, flush=True)
sys.stdin.read()
server.stop()
