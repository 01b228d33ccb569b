#!/usr/bin/env python3
"""Verifies an export of a liaison node without the program that made it.
Checked: entries, tiles, roots and signed checkpoints of the journal and of every feed; signatures and slots of all
records, with the keys on the cards. Not checked, but by `liaison audit verify`: policy, receipts, order of events.
Formats: docs/FORMATS.md. Usage: verify_export.py FOLDER (Python 3.11 and the package cryptography)"""

import base64, hashlib, pathlib, sys
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()

def need(holds, what):
    holds or sys.exit(f"FAILED: {what}")

def fields(data):
    """Protobuf: yields (field number, value); value is an int or bytes."""
    def varint(at, value=0, shift=0):
        while True:
            value, shift, at = value | (data[at] & 127) << shift, shift + 7, at + 1
            if data[at - 1] < 128:
                return value, at
    at = 0
    while at < len(data):
        key, at = varint(at)
        need(key & 7 in (0, 2), "a protobuf wire type that the formats do not use")
        value, at = varint(at)
        if key & 7 == 2:
            at, value = at + value, data[at:at + value]
        yield key >> 3, value

def message(data):
    return dict(fields(data))

def signed(key, signature, text, what):
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, text)
    except InvalidSignature:
        need(False, f"{what}: the signature does not hold")

def card(path):
    """The agency of a card, the generation of its logs, its journal key and its record keys (id -> key)."""
    lines = path.read_text("ascii").split("\n")
    wrapped = message(base64.b64decode("".join(lines[1:-2])))
    inner = message(wrapped[1])
    signed(inner[12], wrapped[2], b"liaison/card/v1\0" + wrapped[1], path)
    keys = [message(value)[1] for number, value in fields(wrapped[1]) if number == 13]
    return inner[2].decode(), inner.get(19, 1), inner[14], {sha(b"liaison/key/v1\0\x01", key)[:16]: key for key in keys}

def tile_file(folder, row, number, width):
    groups = f"{number:,}".split(",")  # groups of three digits
    path = folder / row / "/".join([f"x{int(group):03}" for group in groups[:-1]] + [f"{int(groups[-1]):03}"])
    return path if width == 256 else path.with_name(path.name + ".p") / str(width)

def parts(data, prefix):
    at = 0
    while at < len(data):
        start, at = at + prefix, at + prefix + int.from_bytes(data[at:at + prefix])
        need(at <= len(data), "a list of byte strings is cut")
        yield data[start:at]

def root_of(hashes):
    split = 1 << (len(hashes) - 1).bit_length() - 1 if len(hashes) > 1 else 0
    return sha(b"\1", root_of(hashes[:split]), root_of(hashes[split:])) if split else hashes[0] if hashes else sha()

def head(note, log, generation, own):
    """Size and root in the checkpoint of a log. From the second generation on its number ends the origin."""
    text, _, lines = note.partition("\n\n")
    name, size, root = text.split("\n")
    origin = log if generation == 1 else f"{log}/{generation}"
    need(name == origin, f"a checkpoint of {name}, wanted {origin}")
    blob = next(base64.b64decode(line.split()[2]) for line in lines.splitlines() if line.split()[1] == origin)
    key_of = {sha(origin.encode(), b"\n\x01", key)[:4]: key for _, of, key, _ in own if of == generation}
    signed(key_of[blob[:4]], blob[4:], (text + "\n").encode(), f"checkpoint of {origin}")
    return int(size), base64.b64decode(root)

def log(folder, name, generation, own):
    """Yields the entries of a log (bundle number, leaves so far, entries), then checks what they lead to."""
    (size, root), leaves = head((folder / "checkpoint").read_text("utf-8"), name, generation, own), []
    for number in range((size + 255) // 256):
        width = min(256, size - number * 256)
        entries = list(parts(tile_file(folder, "tile/entries", number, width).read_bytes(), 2))
        leaves += [sha(b"\0", entry) for entry in entries]
        yield number, leaves, entries
    hashes = leaves
    for level in range(8):
        for at in range(0, len(hashes), 256):
            path = tile_file(folder, f"tile/{level}", at // 256, min(256, len(hashes) - at))
            need(path.read_bytes() == b"".join(hashes[at:at + 256]), f"{path} is not what the entries lead to")
        hashes = [root_of(hashes[at:at + 256]) for at in range(0, len(hashes) - 255, 256)]
    need(len(leaves) == size and root_of(leaves) == root, f"{folder}: entries do not lead to the root")

def check_record(entry, content, keys):
    """A RecordAccepted: signature and slots. Gives whether the originator's key is known."""
    header, signature, identity = message(entry[1]), message(entry[2]), sha(b"liaison/record/v1\0", entry[1])
    node, index, path = sha(b"\0", identity), signature.get(2, 0), signature[3]
    need(index < 64 and len(path) == 192, "the path of a record does not fit its batch")
    for step in range(6):
        sibling = path[32 * step:][:32]
        node = sha(b"\1", sibling, node) if index >> step & 1 else sha(b"\1", node, sibling)
    check_content(header, identity, content)
    key = keys.get(header[4].decode(), {}).get(signature[1])
    batch = b"liaison/batch/v1\0" + node
    return bool(key) and signed(key, signature[4], batch, f"record {identity.hex()}") is None

def check_content(header, identity, content):
    need(content[:32] == identity, f"record {identity.hex()}: its content is missing")
    kind, count, at, commitments = header[2].to_bytes(4), content[32], 33, []
    for slot in range(1, count + 1):
        if content[at] == 1:
            length = int.from_bytes(content[at + 17:at + 21], "little")
            commitments.append(sha(b"liaison/slot/v1\0", kind, bytes([slot]), content[at + 1:at + 17],
                                   length.to_bytes(4), content[at + 21:at + 21 + length]))
            at += 21 + length
        else:
            commitments, at = commitments + [content[at + 1:at + 33]], at + 33
    slots = sha(b"liaison/slots/v1\0", kind, count.to_bytes(4), *commitments)
    need(slots == header[14] and at == len(content), f"record {identity.hex()}: its slots were altered")

def main(folder):
    own = [card(path) for path in sorted((folder / "cards").iterdir())]
    (agency, generation, _, own_keys), strangers, headers, lost = own[-1], 0, {}, []
    keys = {name: found for name, _, _, found in map(card, (folder / "partners").glob("*.txt"))} | {agency: own_keys}
    for number, leaves, bundle in log(folder, f"{agency}/journal", generation, own):
        contents = parts(tile_file(folder, "content", number, len(bundle)).read_bytes(), 4)
        for at, (entry, content) in enumerate(zip(map(message, bundle), contents, strict=True), number * 256):
            if accepted := entry.get(3):
                strangers += not check_record(message(accepted), content, keys)
                headers[content[:32]] = message(message(accepted)[1])
            elif received := entry.get(4):
                check_content(headers[message(received)[1]], message(received)[1], content)
            elif succeeded := entry.get(26):
                left, lost = head(message(succeeded)[2].decode(), f"{agency}/journal", len(lost) + 1, own), lost + [at]
                need(left == (at, root_of(leaves[:at])), f"entry {at}: what is left is not what was signed")
    need(generation == len(lost) + 1, "another generation than the journal tells of")
    feeds = [path.parent.relative_to(folder).parts for path in (folder / "feed").glob("**/checkpoint")]
    logs = [log(folder.joinpath(*feed), f"{agency}/feed/{feed[1]}", int(*feed[2:] or [1]), own) for feed in feeds]
    disclosures = sum(len(bundle) for entries in logs for _, _, bundle in entries)
    print(f"OK {agency}: {len(leaves)} entries, {len(headers)} records, {strangers} of unknown originators,",
          f"{disclosures} entries in {len(feeds)} feeds", *(f"; later entries were lost at {at}" for at in lost))

if __name__ == "__main__":
    try:
        main(pathlib.Path(sys.argv[1]))
    except (OSError, ValueError, KeyError, IndexError, StopIteration, TypeError) as error:
        need(False, f"not an export as it must be: {error!r}")
