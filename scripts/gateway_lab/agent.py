"""Only in the laboratory's image: asks the laboratory's web server every 250 ms, so that its log tells when a machine has a
way out, and by which source address. It changes no network state."""

import socket
import time

WEB = ("198.51.100.10", 80)

while True:
    try:
        with socket.create_connection(WEB, timeout=1) as connection:
            connection.sendall(b"GET /probe/%s HTTP/1.0\r\n\r\n" % socket.gethostname().encode())
            connection.recv(1000)
    except OSError:
        pass
    time.sleep(0.25)
