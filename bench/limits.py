"""Bodies larger than a server takes: is the refusal early, and does it come at all?"""

import base64
import json
import socket
import time
import urllib.parse

from servers import address

# A declared length no server here accepts, in bytes.
TOO_LONG = 20 * 10**9
# Bytes after which an endless body is given up on, and bytes sent at once.
GIVE_UP, PIECE = 4 * 10**9, 1 << 20
# Seconds to wait for an answer.
ANSWER = 20
BOUNDARY = "countersign-bench-over"
PACKAGE = "bench-000"


def declared(target, headers):
    """Says a length over the limit, sends nothing, and waits for the refusal."""
    with connected(target) as connection:
        started = time.monotonic()
        connection.sendall(head(target, headers, f"Content-Length: {TOO_LONG}"))
        status = answer(connection)
        return {"status": status, "sent_mb": 0.0, "milliseconds": (time.monotonic() - started) * 1e3}


def streamed(target, headers):
    """Sends without a length until the server refuses."""
    started, sent = time.monotonic(), 0
    with connected(target) as connection:
        connection.sendall(head(target, headers, "Transfer-Encoding: chunked"))
        chunk(connection, beginning(target))
        piece = b"A" * PIECE
        try:
            while sent < GIVE_UP and not has_answered(connection):
                chunk(connection, piece)
                sent += PIECE
        except OSError:
            # The server closed on us; its answer may still be there to read.
            pass
        status = answer(connection)
    return {"status": status, "sent_mb": sent / 1e6, "milliseconds": (time.monotonic() - started) * 1e3}


def connected(target):
    url = urllib.parse.urlsplit(address(target, "/"))
    return socket.create_connection((url.hostname, url.port), timeout=ANSWER)


def head(target, headers, length):
    lines = list(headers.get("headers", []))
    lines += [header for header in [headers.get("headers_by_package", {}).get(PACKAGE)] if header]
    if target["proto"] == "npm":
        first, kind = f"PUT {target['upload']}{PACKAGE}", "application/json"
    else:
        first, kind = f"POST {target['upload']}", f"multipart/form-data; boundary={BOUNDARY}"
    lines = [f"{first} HTTP/1.1", "Host: 127.0.0.1", f"Content-Type: {kind}", length, *lines]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def beginning(target):
    """What comes before a file that never ends."""
    if target["proto"] == "npm":
        document = json.dumps({"_id": PACKAGE, "name": PACKAGE})[:-1]
        return f'{document},"_attachments":{{"{PACKAGE}-1.0.0.tgz":{{"data":"{gzip_start()}'.encode()
    disposition = f'Content-Disposition: form-data; name="content"; filename="{PACKAGE}-1.0.0.tar.gz"'
    return f"--{BOUNDARY}\r\n{disposition}\r\n\r\n".encode()


def gzip_start():
    return base64.b64encode(bytes([0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0])).decode()


def chunk(connection, piece):
    connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))


def has_answered(connection):
    connection.setblocking(False)
    try:
        return bool(connection.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return False
    finally:
        connection.settimeout(ANSWER)


def answer(connection):
    """The status of the answer; none when the connection ended without one."""
    try:
        line = connection.makefile("rb").readline()
        return int(line.split()[1])
    except (OSError, IndexError, ValueError):
        return None
