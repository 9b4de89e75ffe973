"""Holds what a subscriber received against what the outbox of examples/firmware promises.

usage: uplink_check.py RECEIVED LAST, where RECEIVED has one envelope a line in hexadecimal, and LAST is the last sequence

Every sequence from 1 to LAST came, no other did, and whatever came twice was the same both times.
"""

import sys


def item(data, at):
    """One CBOR item of the kinds that iot-transport/src/envelope.cddl has: its major type, its value, what follows."""
    major, low = data[at] >> 5, data[at] & 0x1F
    at += 1
    if low >= 24:
        width = {24: 1, 25: 2, 26: 4, 27: 8}[low]
        low, at = int.from_bytes(data[at : at + width], "big"), at + width
    if major == 2:
        return major, data[at : at + low], at + low
    return major, low, at


def envelope(data):
    major, fields, at = item(data, 0)
    assert (major, fields) == (4, 9), "no array of nine"
    values = []
    for wanted in (0, 0, 0, 0, 0, 0, 2, 2, 2):
        major, value, at = item(data, at)
        assert major == wanted, "a field of another kind"
        values.append(value)
    assert at == len(data) and values[0] == 1, "more than an envelope, or of another version"
    return values[1], values[2], values[3], values[8]


def main(path, last):
    came, copies, streams = {}, 0, set()
    for line in open(path):
        if not line.endswith("\n"):
            break
        stream, sequence, floor, payload = envelope(bytes.fromhex(line))
        streams.add(stream)
        assert floor <= sequence, "a floor above its sequence"
        if sequence in came:
            copies += 1
            assert came[sequence] == payload, f"sequence {sequence} came with two contents"
        came[sequence] = payload
    missing = sorted(set(range(1, last + 1)) - set(came))
    foreign = sorted(set(came) - set(range(1, last + 1)))
    boots = len({payload[:4] for payload in came.values()})
    good = not missing and not foreign and len(streams) == 1
    print(f"uplink last={last} received={len(came)} repeated={copies} boots={boots} missing={missing} foreign={foreign}", "ok" if good else "FAILED")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
