"""What is in the texts: the files of a cloud-config, the parts of a guest's user data, the key that nobody has."""

import base64
import email
import gzip
import hashlib
import struct


def write_files(cloud_config):
    """The files of our own cloud-config by path, as (mode, content). It reads no other YAML than what we write."""
    files, path, mode, lines = {}, None, None, None
    section = None

    def close():
        if path is not None and lines is not None:
            files[path] = (mode, "".join(lines))

    for line in cloud_config.split("\n"):
        if lines is not None and (line.startswith("      ") or not line):
            lines.append(line[6:] + "\n")
            continue
        if lines is not None:
            close()
            path, mode, lines = None, None, None
        if line and not line.startswith(" "):
            section = line
        elif section == "write_files:" and line.startswith("  - path: "):
            path = line[len("  - path: "):]
        elif section == "write_files:" and line.startswith('    permissions: "'):
            mode = int(line.split('"')[1], 8)
        elif line == "    content: |":
            lines = []
    close()
    return files


def unpack(text):
    """User data as cloud-init's data source reads it: base64 of the whole, then gzip."""
    data = text.encode()
    try:
        data = base64.b64decode(data, validate=True) or data
    except ValueError:
        pass
    return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data


def parts(user_data):
    """The parts of a guest's user data as (type, bytes), read as cloud-init reads them, by the parser of e-mail."""
    message = email.message_from_string(unpack(user_data).decode())
    if message.defects:
        raise ValueError("the message is defective: %s" % message.defects)
    found = []
    for part in message.walk():
        if part.defects:
            raise ValueError("a part is defective: %s" % part.defects)
        if not part.is_multipart():
            found.append((part.get_content_type(), part.get_payload(decode=True)))
    return found


P = 2**255 - 19


def is_on_curve(point):
    """Whether 32 bytes are a point of the curve of ed25519."""
    d = -121665 * pow(121666, P - 2, P) % P
    y = int.from_bytes(point, "little") & (2**255 - 1)
    square = (y * y - 1) * pow(d * y * y + 1, P - 2, P) % P
    return y < P and (square == 0 or pow(square, (P - 1) // 2, P) == 1)


def nobodys_key():
    """The public key whose point is the first hash of a sentence that lies on the curve."""
    number = 0
    while True:
        point = hashlib.sha256(b"SECA internet gateway: nobody has the private half %d" % number).digest()
        if is_on_curve(point):
            break
        number += 1
    fields = (b"ssh-ed25519", point)
    blob = b"".join(struct.pack(">I", len(field)) + field for field in fields)
    return "ssh-ed25519 " + base64.b64encode(blob).decode()
