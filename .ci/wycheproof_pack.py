"""Writes Wycheproof's tests as one file for a chip, and says on standard output how many there are of each operation.

usage: wycheproof_pack.py FOLDER FILE
The form is described in examples/firmware/src/bin/wycheproof.rs.
"""

import json
import pathlib
import struct
import sys

# Name, file, what the key and the proof are called. Certificates and TLS carry Ed25519 as it is.
OPERATIONS = [
    ("p256-fixed", "ecdsa_secp256r1_sha256_p1363_test.json", "publicKeyDer", "sig"),
    ("p256-der", "ecdsa_secp256r1_sha256_test.json", "publicKeyDer", "sig"),
    ("ed25519", "ed25519_test.json", "publicKeyDer", "sig"),
    ("ed25519-x509", "ed25519_test.json", "publicKeyDer", "sig"),
    ("hmac", "hmac_sha256_test.json", "key", "tag"),
]


def records(number, tests, key, proof):
    for group in tests["testGroups"]:
        for test in group["tests"]:
            # A truncated tag is never accepted here, whatever it would be elsewhere.
            good = test["result"] == "valid" and group.get("tagSize", 256) == 256
            parts = [bytes.fromhex(text) for text in (test.get(key) or group[key], test["msg"], test[proof])]
            yield struct.pack(">BBHHH", number, good, *map(len, parts)) + b"".join(parts)


def main(folder, file):
    whole, total = b"", 0
    for number, (name, source, key, proof) in enumerate(OPERATIONS):
        tests = json.loads((pathlib.Path(folder) / source).read_text())
        found = list(records(number, tests, key, proof))
        if len(found) != tests["numberOfTests"] or not found:
            print(f"error: {source} has {len(found)} tests and claims {tests['numberOfTests']}", file=sys.stderr)
            return 1
        whole, total = whole + b"".join(found), total + len(found)
        print(f"{name}={len(found)}", end=" ")
    print(f"tests={total} mismatches=0")
    pathlib.Path(file).write_bytes(whole)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
