"""Writes other people's manifests as one file for a chip, and says on standard output what it must find in them.

usage: manifests_pack.py FOLDER FILE
The form is described in examples/firmware/src/bin/manifests.rs.
"""

import hashlib
import json
import pathlib
import struct
import sys

UPDATE, INVOKE = 0, 1

# What each has a device do, written by hand from its diagnostic text: m matches an image, s asks for a slot, f fetches,
# c copies from <, W writes what decrypts to the right image, d follows a dependency, i starts; then the component.
EXPECTED = [
    ("draft37/example0.envelope-with-cose-authentication-object.237.suit", "m0.", "m0i0."),
    ("draft37/example1.envelope-with-cose-authentication-object.272.suit", "f0m0m0.", "m0."),
    ("draft37/example2.envelope-with-cose-authentication-object.923.suit", "f0m0m0.", "m0i0."),
    ("draft37/example3.envelope-with-cose-authentication-object.396.suit", "s0s0f0m0s0m0.", None),
    ("draft37/example4.envelope-with-cose-authentication-object.403.suit", "f2m2c0<2m0m0.", "m0c1<0m1i1."),
    ("draft37/example5.envelope-with-cose-authentication-object.382.suit", "f0m0f1m1m0m1.", "m0m1i0."),
    ("libcsuit/suit_manifest_expEW.suit", "W3.", None),
    ("libcsuit/suit_manifest_expED.suit", "f4d4d4W3m3.", None),
]
REFUSED = "!"


def record(procedure, trace, envelope):
    return struct.pack(">BBH", procedure, len(trace), len(envelope)) + trace.encode() + envelope


def spoiled(envelope):
    """The envelope with one bit of its signature changed: the last of the 64 bytes behind the head 58 40."""
    at = envelope.index(b"\x58\x40") + 65
    return envelope[:at] + bytes([envelope[at] ^ 1]) + envelope[at + 1 :]


def main(folder, file):
    folder = pathlib.Path(folder)
    keys = json.loads((folder / "libcsuit/keys/cose-keys-hex.json").read_text())
    anchor = bytes.fromhex(keys["trust_anchor_prime256v1_pub"])
    # The key map ends with d, its private part (RFC 9053, section 7.1.1).
    scalar = bytes.fromhex(keys["device_esdh_cose_key_private"])[-32:]
    plain = (folder / "libcsuit/raw_image.bin").read_bytes()
    records, refused, decrypted = [], 0, 0
    for name, update, invoke in EXPECTED:
        envelope = (folder / name).read_bytes()
        for procedure, trace in ((UPDATE, update), (INVOKE, invoke)):
            if trace:
                records.append(record(procedure, trace, envelope))
                decrypted += trace.count("W")
        records.append(record(UPDATE, REFUSED, spoiled(envelope)))
        refused += 1
    pathlib.Path(file).write_bytes(anchor + scalar + hashlib.sha256(plain).digest() + b"".join(records))
    print(f"manifests={len(records)} refused={refused} decrypted={decrypted} mismatches=0")


if __name__ == "__main__":
    main(*sys.argv[1:])
