#!/usr/bin/env python3
"""Proxies in front of the limit server, side by side: ours, HAProxy in TCP mode, nginx, and a relay that does
nothing. As ../shared/bench/proxy.py, whose servers and tables it uses, with rows of our own:

  proxies.py BENCH_FOLDER [--conns 1,100] [--pipeline 1,16] [--rounds 5] NAME=COMMAND...

In COMMAND {addr} is where to listen and {backend} is the limit server. CPU time is the proxy's own.
"""
import argparse
import os
import shutil
import sys

p = argparse.ArgumentParser(usage=__doc__)
p.add_argument("folder")
p.add_argument("--conns", default="1,100")
p.add_argument("--pipeline", default="1,16")
p.add_argument("--rounds", type=int, default=5)
p.add_argument("--secs", type=float, default=0.8)
p.add_argument("--warmup", type=float, default=0.2)
p.add_argument("--rate", type=float, default=0)
p.add_argument("--mix", default="r10")
p.add_argument("proxies", nargs="*")
a = p.parse_intermixed_args()
a.verify = "header"

sys.path.insert(0, a.folder)
import bench  # noqa: E402
import proxy  # noqa: E402

os.makedirs(proxy.TMP, exist_ok=True)
started = []
try:
    direct = bench.Server("direct", f"{bench.BIN}/mblimit --addr {{addr}} --mode mbap", True, "")
    started.append(direct)
    backend = direct.addr
    started.append(proxy.Chain("relay", f"{bench.BIN}/mbrelay {{addr}} {backend}", True))
    started.append(proxy.haproxy("haproxy", backend))
    if shutil.which("nginx"):
        port = bench.free_port()
        path = proxy.conf(f"nginx-{port}.conf", proxy.NGINX.format(
            dir=proxy.TMP, port=port, listen=f"127.0.0.1:{port}", backend=backend))
        started.append(proxy.at("nginx stream", port, f"nginx -c {path}"))
    for text in a.proxies:
        name, command = text.split("=", 1)
        started.append(proxy.Chain(name, command.replace("{backend}", backend), True))
    bench.table(started, a, [], base="haproxy")
finally:
    for server in reversed(started):
        server.stop()
