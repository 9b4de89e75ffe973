"""Takes an envelope apart and checks its signatures: prints how many of the keys have signed it.

usage: check.py ENVELOPE IMAGE PUBLIC-KEY...
"""

import hashlib
import pathlib
import sys

import cbor2
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from pycose.algorithms import CoseAlgorithm, EdDSA, Es256
from pycose.headers import Algorithm
from pycose.keys import EC2Key, OKPKey
from pycose.messages import Sign1Message


# RFC 9864 has numbers for algorithm and curve together. pycose knows the older ones; the signatures are the same.
@CoseAlgorithm.register_attribute()
class Esp256(Es256):
    identifier = -9
    fullname = "ESP256"


@CoseAlgorithm.register_attribute()
class Ed25519(EdDSA):
    identifier = -19
    fullname = "ED25519"


def key_in(path):
    public = load_pem_public_key(pathlib.Path(path).read_bytes())
    if isinstance(public, EllipticCurvePublicKey):
        point = public.public_numbers()
        x, y = (number.to_bytes(32, "big") for number in (point.x, point.y))
        return EC2Key(crv="P_256", x=x, y=y)
    return OKPKey(crv="ED25519", x=public.public_bytes(Encoding.Raw, PublicFormat.Raw))


def holds(block, digest, key):
    message = cbor2.loads(block)
    assert message.tag == 18 and message.value[2] is None
    protected, unprotected, payload, signature = message.value
    parts = [protected, dict(unprotected), payload, signature]
    cose = Sign1Message.from_cose_obj(parts, allow_unknown_attributes=False)
    if isinstance(key, EC2Key) != (cose.get_attr(Algorithm) is Esp256):
        return False  # A key of the other kind.
    cose.key = key
    return cose.verify_signature(detached_payload=digest)


def main(envelope, image, *keys):
    envelope = cbor2.loads(pathlib.Path(envelope).read_bytes())
    assert envelope.tag == 107
    digest, *blocks = cbor2.loads(envelope.value[2])
    algorithm, expected = cbor2.loads(digest)
    assert algorithm == -16
    assert hashlib.sha256(cbor2.dumps(envelope.value[3])).digest() == expected, "the manifest's digest"
    manifest = cbor2.loads(envelope.value[3])
    shared = cbor2.loads(cbor2.loads(manifest[3])[4])
    parameters = next(value for code, value in zip(shared[::2], shared[1::2]) if code == 20)
    content = pathlib.Path(image).read_bytes()
    assert cbor2.loads(parameters[3]) == [-16, hashlib.sha256(content).digest()], "the image's digest"
    assert parameters[14] == len(content)
    signed = [any(holds(block, digest, key_in(key)) for block in blocks) for key in keys]
    print(f"manifest {manifest[2]}: {len(blocks)} signatures, {sum(signed)} of {len(keys)} keys")


main(*sys.argv[1:])
