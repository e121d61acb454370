#!/usr/bin/env python3
"""Proxies in front of the limit server, side by side: ours, HAProxy in TCP mode, nginx, and a relay that does
nothing. As ../shared/bench/proxy.py, whose servers and tables it uses, with rows of our own:

  proxies.py BENCH_FOLDER [--conns 1,100] [--pipeline 1,16] [--rounds 5] [--rate R] [--latency]
             [--beside haproxy,nginx,relay] NAME=COMMAND...

In COMMAND {addr} is where to listen and {backend} is the limit server. CPU time is the proxy's own. --latency adds a
table of what each adds to the direct connection's latency, medians of the rounds' percentiles; with --rate, requests
come at that rate, whether or not the last was answered. Of twelve rounds and more a last table says how certain the
ratios of CPU time are: the geometric mean of all rounds, and where it would lie in 19 of 20 such runs. That takes many
rounds, so --beside leaves out what is not needed, and the direct server with it.
"""
import argparse
import math
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
p.add_argument("--beside", default="")
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
    beside = (a.beside or "relay,haproxy,nginx").split(",")
    if "relay" in beside:
        started.append(proxy.Chain("relay", f"{bench.BIN}/mbrelay {{addr}} {backend}", True))
    started.append(proxy.haproxy("haproxy", backend))
    if "nginx" in beside and shutil.which("nginx"):
        port = bench.free_port()
        path = proxy.conf(f"nginx-{port}.conf", proxy.NGINX.format(
            dir=proxy.TMP, port=port, listen=f"127.0.0.1:{port}", backend=backend))
        started.append(proxy.at("nginx stream", port, f"nginx -c {path}"))
    for text in a.proxies:
        name, command = text.split("=", 1)
        started.append(proxy.Chain(name, command.replace("{backend}", backend), True))
    rows = []
    bench.table(started[1:] if a.beside else started, a, rows, base="haproxy")
    if a.rounds >= 12:
        print("\n| proxy | conns | pipe | CPU of haproxy's | in 19 of 20 runs |\n|---|--:|--:|--:|--:|")
        cpu = {(r["name"], r["conns"], r["pipeline"], r["round"]): r["server_cpu_us_per_req"]
               for r in rows if "failed" not in r and r["requests"] > 0}
        for conns in map(int, a.conns.split(",")):
            for depth in map(int, a.pipeline.split(",")):
                for server in (s for s in started[1:] if s.name != "haproxy"):
                    cells = [(cpu.get((server.name, conns, depth, k)), cpu.get(("haproxy", conns, depth, k)))
                             for k in range(a.rounds)]
                    logs = [math.log(ours / theirs) for ours, theirs in cells if ours and theirs]
                    if len(logs) < 12:
                        continue
                    mean, error = statistics.mean(logs), 2 * statistics.stdev(logs) / math.sqrt(len(logs))
                    print(f"| {server.name} | {conns} | {depth} | {math.exp(mean):.2f} | "
                          f"{math.exp(mean - error):.2f} to {math.exp(mean + error):.2f} |")
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
