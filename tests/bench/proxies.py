#!/usr/bin/env python3
"""Proxies in front of the limit server, side by side: ours, HAProxy in TCP mode, nginx, and a relay that does
nothing. As ../shared/bench/proxy.py, whose servers and tables it uses, with rows of our own:

  proxies.py BENCH_FOLDER [--conns 1,100] [--pipeline 1,16] [--rounds 5] [--rate R] [--latency] NAME=COMMAND...

In COMMAND {addr} is where to listen and {backend} is the limit server. CPU time is the proxy's own. --latency adds a
table of what each adds to the direct connection's latency, medians of the rounds' percentiles; with --rate, requests
come at that rate, whether or not the last was answered.
"""
import argparse
import os
import shutil
import statistics
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
p.add_argument("--latency", action="store_true")
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
    rows = []
    bench.table(started, a, rows, base="haproxy")
    if a.latency:
        print("\n| proxy | conns | pipe | adds to p50 µs | p99 | p99.9 |\n|---|--:|--:|--:|--:|--:|")

        def of(name, conns, depth, key):
            all = [r[key] for r in rows if (r["name"], r["conns"], r["pipeline"]) == (name, conns, depth)
                   and "failed" not in r]
            return statistics.median(all) if all else float("nan")

        for conns in map(int, a.conns.split(",")):
            for depth in map(int, a.pipeline.split(",")):
                for server in started[1:]:
                    adds = [of(server.name, conns, depth, key) - of("direct", conns, depth, key)
                            for key in ("p50_us", "p99_us", "p999_us")]
                    print(f"| {server.name} | {conns} | {depth} | " + " | ".join(f"{us:,.0f}" for us in adds) + " |")
finally:
    for server in reversed(started):
        server.stop()
