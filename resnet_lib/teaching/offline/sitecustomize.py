"""Cut this Python off from the network: only loopback addresses are left.

Python imports a `sitecustomize` from PYTHONPATH when it starts, before any other code runs. conftest.py puts this
folder there for the kernels that execute the lessons. An audit hook sees every use of the socket module and cannot be
removed. Sockets that C libraries open on their own (ZeroMQ, gloo) are not seen; the lessons use those on loopback only.
"""

import ipaddress
import os
import sys

ADDRESS_AT = {  # audit event: which of its arguments holds the address
    "socket.connect": 1,
    "socket.sendto": 1,
    "socket.sendmsg": 1,
    "socket.getaddrinfo": 0,
    "socket.gethostbyname": 0,
    "socket.gethostbyaddr": 0,
}
LOCAL_NAMES = {"", "localhost", "localhost.localdomain", "0.0.0.0", "::"}  # the last two: "listen on every address"


def is_loopback(address) -> bool:
    if isinstance(address, tuple):  # (host, port, ...)
        address = address[0]
    elif isinstance(address, (str, bytes)) and address[:1] in ("/", b"/", "\0", b"\0"):
        return True  # the path of a Unix socket
    if address is None:
        return True  # an unconnected look-up, or a send on a socket that was allowed to connect
    host = address.decode(errors="replace") if isinstance(address, (bytes, bytearray)) else str(address)
    if host in LOCAL_NAMES:
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False  # a name that would have to be looked up


def guard(event: str, arguments: tuple) -> None:
    if event in ADDRESS_AT and not is_loopback(arguments[ADDRESS_AT[event]]):
        raise OSError(f"the lessons run offline: {event} to {arguments[ADDRESS_AT[event]]!r} was refused")


sys.addaudithook(guard)
for name in list(os.environ):
    if name.lower().endswith("_proxy"):  # a proxy on this machine would be a way out
        del os.environ[name]
