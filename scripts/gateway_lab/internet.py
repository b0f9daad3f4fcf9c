"""internet.py LOG ARCHIVE -- "the internet": HTTP on 198.51.100.10, UDP echo on its port 9999, DNS on Hetzner's resolvers.
Each answer tells the client's source address; each request is logged with its time."""

import http.server
import os
import socket
import struct
import sys
import threading
import time

WEB = "198.51.100.10"
RESOLVERS = ("185.12.64.1", "185.12.64.2", "2a01:4ff:ff00::add:1", "2a01:4ff:ff00::add:2")
LOG = open(sys.argv[1], "a", buffering=1, encoding="utf-8")
ARCHIVE = sys.argv[2]


def log(*words):
    print("%.2f" % time.time(), *words, file=LOG)


class Web(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        log("HTTP", self.client_address[0], self.path)
        status, body = 200, self.client_address[0].encode()
        if self.path.startswith("/big/"):
            body = b"x" * int(self.path[len("/big/"):])
        elif self.path.startswith("/deb/"):
            try:
                with open(os.path.join(ARCHIVE, os.path.basename(self.path)), "rb") as file:
                    body = file.read()
            except OSError:
                status, body = 404, b"no"
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def echo():
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((WEB, 9999))
    while True:
        data, client = server.recvfrom(65535)
        log("UDP", client[0], len(data))
        server.sendto(b"%s %d" % (client[0].encode(), len(data)), client)


def resolve(address):
    """Every name under .lab is the web server."""
    server = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((address, 53))
    while True:
        query, client = server.recvfrom(4096)
        try:
            at, labels = 12, []
            while query[at]:
                labels.append(query[at + 1:at + 1 + query[at]].decode())
                at += 1 + query[at]
            question, (kind,) = query[12:at + 5], struct.unpack("!H", query[at + 1:at + 3])
        except (IndexError, struct.error, UnicodeDecodeError):
            continue
        name = ".".join(labels).lower()
        known = name.endswith(".lab")
        log("DNS", client[0], address, name, kind)
        answer = b""
        if known and kind == 1:
            answer = b"\xc0\x0c" + struct.pack("!HHIH4s", 1, 1, 30, 4, socket.inet_aton(WEB))
        header = struct.pack("!HHHHH", 0x8180 if known else 0x8183, 1, 1 if answer else 0, 0, 0)
        server.sendto(query[:2] + header + question + answer, client)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 2048


threading.Thread(target=echo, daemon=True).start()
for resolver in RESOLVERS:
    threading.Thread(target=resolve, args=(resolver,), daemon=True).start()
Server((WEB, 80), Web).serve_forever()
