#!/usr/bin/env python3
"""TLS beside plain TCP, and beside HAProxy's mutual TLS in front of the limit server.

    tests/bench/tls.py PORT502 [--rounds N] [--secs S]

PORT502 is a release build, which is the server under test, makes the certificates and is the load generator (`bench`). Each
round runs every server once; figures are medians. CPU time is that of the server's process alone: for HAProxy without
the server behind it, which is `mblimit` where $BENCH_BIN has it, else `port502 serve`. Handshakes are made by
`openssl s_time`, a new connection each, TLS 1.2, for that is where it can resume.
"""
import argparse
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HAPROXY = """global
  nbthread 1
defaults
  mode tcp
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend f
  bind 127.0.0.1:{port} ssl crt {pki}/server.both ca-file {pki}/ca.pem verify required
  default_backend b
backend b
  server s {backend}
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(port):
    for _ in range(500):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.01)
    sys.exit(f"nothing listens on port {port}")


def cpu(pid):
    """Seconds, from the scheduler, which counts in nanoseconds."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat") as f:
            total += int(f.read().split()[0])
    return total / 1e9


def main():
    p = argparse.ArgumentParser(usage=__doc__)
    p.add_argument("port502")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--secs", type=float, default=1.0)
    a = p.parse_args()
    bench_bin = os.environ.get("BENCH_BIN", os.path.join(tempfile.gettempdir(), "bench-bin"))
    with tempfile.TemporaryDirectory() as folder:
        pki, running, servers = f"{folder}/pki", [], {}

        def cert(*rest):
            subprocess.run([a.port502, "cert", *rest, "--dir", pki], check=True, stdout=subprocess.DEVNULL)

        cert("ca")
        cert("server", "--ip", "127.0.0.1", "--out", f"{pki}/server.pem")
        cert("client", "--name", "client", "--role", "operator")
        with open(f"{pki}/server.both", "w") as both:
            for name in ("server.pem", "server.key"):
                with open(f"{pki}/{name}") as part:
                    both.write(part.read())
        rights = f"{folder}/rights.csv"
        with open(rights, "w") as f:
            f.write("role,access\noperator,rw\n")

        def start(name, port, *command, target="tcp"):
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            running.append(process)
            wait_for(port)
            query = f"?cert={pki}/client.pem" if target == "tls" else ""
            servers[name] = (process.pid, port, f"{target}://127.0.0.1:{port}{query}")

        def serve(name, target, *more):
            port = free_port()
            query = f"?cert={pki}/server.pem" if target == "tls" else ""
            listen = f"{target}://127.0.0.1:{port}{query}"
            start(name, port, a.port502, "serve", "--listen", listen, "--preset", "bench", "--quiet", *more, target=target)

        try:
            serve("port502 tcp", "tcp")
            serve("port502 tls", "tls", "--rights", rights)
            backend = free_port()
            limit = f"{bench_bin}/mblimit"
            if os.path.exists(limit):
                start("limit", backend, limit, "--addr", f"127.0.0.1:{backend}", "--mode", "mbap")
            else:
                serve("limit", "tcp")
                backend = servers["limit"][1]
            port = free_port()
            with open(f"{folder}/haproxy.cfg", "w") as f:
                f.write(HAPROXY.format(port=port, pki=pki, backend=f"127.0.0.1:{backend}"))
            try:
                start("haproxy tls", port, "haproxy", "-db", "-f", f"{folder}/haproxy.cfg", target="tls")
            except FileNotFoundError:
                print("left out: haproxy is not installed", file=sys.stderr)
            measured = [name for name in servers if name != "limit"]
            requests(a, servers, measured)
            handshakes(a, servers, [name for name in measured if name.endswith("tls")], pki)
        finally:
            for process in reversed(running):
                process.terminate()
                process.wait()


def requests(a, servers, measured):
    for connections, in_flight in ((1, 1), (10, 1), (1, 16), (10, 16)):
        costs = {name: [] for name in measured}
        for _ in range(a.rounds):
            for name in measured:
                pid, _, target = servers[name]
                before = cpu(pid)
                ran = subprocess.run(
                    [a.port502, "bench", target, "--read", "h:0*10", "--for", f"{round(a.secs * 1000)}ms",
                     "--connections", str(connections), "--in-flight", str(in_flight), "--json"],
                    check=True, capture_output=True, text=True)
                used = cpu(pid) - before
                answers = int(re.search(r'"(?:answers|requests)":\s*(\d+)', ran.stdout)[1])
                costs[name].append(used / answers * 1e6)
        base = costs.get("haproxy tls") or costs["port502 tls"]
        row = [f"{connections}c x{in_flight}"]
        for name in measured:
            ratio = statistics.median(x / b for x, b in zip(costs[name], base))
            row.append(f"{name} {statistics.median(costs[name]):.2f} us ({ratio:.2f} of haproxy)")
        print("CPU a request, " + ", ".join(row), flush=True)


def handshakes(a, servers, measured, pki):
    for kind in ("-new", "-reuse"):
        costs, rates = {name: [] for name in measured}, {name: [] for name in measured}
        for _ in range(a.rounds):
            for name in measured:
                pid, port, _ = servers[name]
                before = cpu(pid)
                ran = subprocess.run(
                    ["openssl", "s_time", "-connect", f"127.0.0.1:{port}", kind, "-time", "2", "-tls1_2",
                     "-CAfile", f"{pki}/ca.pem", "-cert", f"{pki}/client.pem", "-key", f"{pki}/client.key"],
                    capture_output=True, text=True)
                used = cpu(pid) - before
                found = re.findall(r"(\d+) connections in (\d+) real seconds", ran.stdout)
                if not found or not int(found[-1][0]):
                    sys.exit(f"s_time {kind} {name}: {ran.stdout} {ran.stderr}")
                count, seconds = int(found[-1][0]), int(found[-1][1])
                costs[name].append(used / count * 1e6)
                rates[name].append(count / seconds)
        base = costs.get("haproxy tls") or costs["port502 tls"]
        row = []
        for name in measured:
            ratio = statistics.median(x / b for x, b in zip(costs[name], base))
            cost = statistics.median(costs[name])
            row.append(f"{name} {cost:.0f} us ({ratio:.2f} of haproxy), {1e6 / cost:.0f} a CPU second, "
                       f"{statistics.median(rates[name]):.0f}/s seen")
        print(f"handshakes {kind[1:]}: " + ", ".join(row), flush=True)


if __name__ == "__main__":
    main()
