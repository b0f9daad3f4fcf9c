"""peer.py serve PORT... | ask ADDRESS PORT [SOURCE]: a server that tells who asked, and a client that prints the answer.

The server's answer is the client's address and the TCP MSS that the server uses for it; the client adds its own."""

import select
import socket
import sys


def serve(ports):
    listeners = []
    for port in ports:
        for family, anybody in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
            if family == socket.AF_INET6 and not socket.has_ipv6:
                continue
            listener = socket.socket(family)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind((anybody, port))
            listener.listen(64)
            listeners.append(listener)
    print("ready", flush=True)
    while True:
        for listener in select.select(listeners, [], [])[0]:
            client, address = listener.accept()
            client.settimeout(2)
            mss = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
            try:
                client.sendall(("%s %d" % (address[0], mss)).encode())
            except OSError:
                pass
            client.close()


def ask(address, port, source=None):
    client = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    client.settimeout(1)
    if source:
        client.bind((source, 0))
    try:
        client.connect((address, port))
        mss = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
        answer = b""
        while True:
            data = client.recv(4096)
            if not data:
                break
            answer += data
    except ConnectionRefusedError:
        print("refused")
        return
    except OSError:
        print("nothing")
        return
    print(answer.decode(), mss)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve([int(port) for port in sys.argv[2:]])
    else:
        ask(sys.argv[2], int(sys.argv[3]), *sys.argv[4:])
