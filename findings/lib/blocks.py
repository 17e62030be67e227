"""Writes the blocks of a pcapng file one by one, as the draft (draft-ietf-opsawg-pcapng) has them, so that a script
can make the very file it is about. Little-endian unless told otherwise."""

import struct

END = b"\0\0\0\0"  # opt_endofopt
START = 1_700_000_000  # the second in which the frames of the examples were "captured"
# who-has 169.254.1.1 tell 10.65.0.2, 42 bytes
REQUEST = bytes.fromhex(
    "ffffffffffff" "0200000a4102" "0806"
    "0001" "0800" "06" "04" "0001" "0200000a4102" "0a410002" "000000000000" "a9fe0101"
)


def option(code, value, order="<"):
    return struct.pack(order + "HH", code, len(value)) + value + bytes(-len(value) % 4)


def block(kind, body, order="<"):
    body += bytes(-len(body) % 4)
    length = len(body) + 12
    return struct.pack(order + "II", kind, length) + body + struct.pack(order + "I", length)


def section(order="<"):
    return block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(options=b"", order="<", snaplen=0):
    return block(1, struct.pack(order + "HHI", 1, 0, snaplen) + options, order)


def enhanced(ticks, frame=REQUEST, options=b"", order="<", on=0):
    head = struct.pack(order + "IIIII", on, ticks >> 32, ticks & 0xFFFFFFFF, len(frame), len(frame))
    return block(6, head + frame + bytes(-len(frame) % 4) + options, order)


def simple(frame=REQUEST):
    return block(3, struct.pack("<I", len(frame)) + frame)


def statistics(ticks, options=b""):
    return block(5, struct.pack("<III", 0, ticks >> 32, ticks & 0xFFFFFFFF) + options)


def high_low(ticks):
    """A time stamp as option value: the high 32 bits come first, whatever the byte order."""
    return struct.pack("<II", ticks >> 32, ticks & 0xFFFFFFFF)
