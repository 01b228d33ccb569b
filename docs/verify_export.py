#!/usr/bin/env python3
"""Verifies an export of a liaison node without the program that made it.
Checked: entries, tiles, roots and signed checkpoints of the journal and of every feed that the journal published;
signatures and slots of all records, what erasures left of them, orders to erase and consents, with the keys on the
cards. Not checked, but by `liaison audit verify`: policy, receipts, order of events, the grounds of erasures. Compare
the number that is printed with the agency's over a second channel: without that, the folder alone names the identity.
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

DAMM = ("0317598642", "7092154863", "4206871359", "1750983426", "6123045978", "3674209581", "5869720134", "8945362017",
        "9438617205", "2581436790")

def number(identity, agency):
    """The 30 digits of an agency: after each nine of them a check digit."""
    rest, digits = int.from_bytes(sha(b"liaison/number/v1\0", identity, agency.encode())[:16]), ""
    for _ in range(3):
        rest, nine = divmod(rest, 10 ** 9)
        check = 0
        for digit in f"{nine:09}":
            check = int(DAMM[check][int(digit)])
        digits = f"{nine:09}{check}{digits}"
    return " ".join(digits[at:at + 5] for at in range(0, 30, 5))

def read_text(path):
    found = path.read_bytes()
    need(b"\r" not in found, f"{path}: line ends were changed to CR LF; get the file again as binary")
    return found.decode()

def card(path):
    """The agency of a card, the generation of its logs, its journal key, its record keys (id -> key) and its number."""
    lines = read_text(path).split("\n")
    wrapped = message(base64.b64decode("".join(lines[1:-2])))
    inner = message(wrapped[1])
    signed(inner[12], wrapped[2], b"liaison/card/v1\0" + wrapped[1], path)
    keys = [message(value)[1] for number, value in fields(wrapped[1]) if number == 13]
    agency, record_keys = inner[2].decode(), {sha(b"liaison/key/v1\0\x01", key)[:16]: key for key in keys}
    return agency, inner.get(19, 1), inner[14], record_keys, number(inner[12], agency)

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
    need(lines.endswith("\n") and "\v" not in lines, f"the note of {log} is in another form")
    name, size, root = text.split("\n")
    origin = log if generation == 1 else f"{log}/{generation}"
    need(name == origin, f"a checkpoint of {name}, wanted {origin}")
    blob = next(base64.b64decode(line.split()[2]) for line in lines.splitlines() if line.split()[1] == origin)
    key_of = {sha(origin.encode(), b"\n\x01", key)[:4]: key for _, of, key, *_ in own if of == generation}
    signed(key_of[blob[:4]], blob[4:], (text + "\n").encode(), f"checkpoint of {origin}")
    return int(size), base64.b64decode(root)

def log(folder, name, generation, own):
    """Yields the entries of a log (bundle number, leaves so far, entries), then checks what they lead to."""
    (size, root), leaves = head(read_text(folder / "checkpoint"), name, generation, own), []
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
    """A RecordAccepted: signature and slots. Gives its Record and whether the originator's key is known."""
    header, signature, identity = message(entry[1]), message(entry[2]), sha(b"liaison/record/v1\0", entry[1])
    node, index, path = sha(b"\0", identity), signature.get(2, 0), signature[3]
    need(index < 64 and len(path) == 192, "the path of a record does not fit its batch")
    for step in range(6):
        sibling = path[32 * step:][:32]
        node = sha(b"\1", sibling, node) if index >> step & 1 else sha(b"\1", node, sibling)
    record = Record(header, identity, entry)
    record.take(content)
    key = keys.get(record.originator, {}).get(signature[1])
    batch = b"liaison/batch/v1\0" + node
    return record, bool(key) and signed(key, signature[4], batch, f"record {identity.hex()}") is None

class Record:
    """A record that was accepted, and what is left of it."""
    def __init__(self, header, identity, entry):
        self.header, self.identity, self.originator = header, identity, header[4].decode()
        self.may_mark = entry.get(3, b"").decode() == self.originator
        self.open, self.erased = entry.get(6, 0), 0
        self.is_overwritten, self.has_bytes = False, False

    def take(self, content):
        """The content at an entry about the record: as its header commits to, or overwritten by an erasure."""
        name = f"record {self.identity.hex()}"
        need(content[:32] == self.identity, f"{name}: its content is missing")
        if len(content) > 32 and not any(content[32:]):
            self.is_overwritten = True
            return
        self.has_bytes = True
        kind, count, at, commitments, open_slots, erased = self.header[2].to_bytes(4), content[32], 33, [], 0, 0
        for slot in range(1, count + 1):
            need(content[at] in (1, 2, 3, 4), f"{name}: slot {slot} is neither open, withheld nor erased")
            if content[at] == 1:
                length, open_slots = int.from_bytes(content[at + 17:at + 21], "little"), open_slots | 1 << slot
                commitments.append(sha(b"liaison/slot/v1\0", kind, bytes([slot]), content[at + 1:at + 17],
                                       length.to_bytes(4), content[at + 21:at + 21 + length]))
                at += 21 + length
            else:
                erased |= (content[at] == 3) << slot
                commitments, at = commitments + [content[at + 1:at + 33]], at + 33
        slots = sha(b"liaison/slots/v1\0", kind, count.to_bytes(4), *commitments)
        need(slots == self.header[14] and at == len(content), f"{name}: its slots were altered")
        need(not open_slots & ~self.open, f"{name}: slots are open that no entry brought")
        need(erased & self.erased == self.erased, f"{name}: erased slots are there again")
        need(self.may_mark or erased == self.erased, f"{name}: slots are missing that no entry erased")

    def erase(self, entry, content):
        """A SlotsErased: all content before it is overwritten, and what is left stands at the entry itself."""
        name = f"record {self.identity.hex()}"
        need(not self.has_bytes, f"{name}: what was erased is still there")
        need(entry.get(2, 0) and not entry[2] & self.erased, f"{name}: it erases nothing, or something twice")
        self.erased, self.open, self.is_overwritten = self.erased | entry[2], self.open & ~entry[2], False
        self.take(content)

def check_order(order, record, keys):
    """An order to erase, by its originator. Gives whether the originator's key is known."""
    key = keys.get(record.originator, {}).get(order[4])
    text = record.identity + order[1].to_bytes(4) + order[2].to_bytes(4) + order[3].to_bytes(8)
    return bool(key) and signed(key, order[5], b"liaison/erase/v1\0" + text, "order to erase") is None

def check_consent(originator, holder, consent, keys):
    """A statement about consent, by its originator. Gives whether the originator's key is known."""
    subject = message(consent[4])
    members = [value for slot, value in fields(consent[4]) if slot == 7]
    def text(data):
        return len(data).to_bytes(4) + data
    def number(value):
        return value.to_bytes(8)
    parts = [text(originator), text(holder), number(consent[1]), number(consent.get(2, 0)), number(consent[3]),
             number(subject[1]), text(subject.get(2, b"")), number(subject[3]), text(subject.get(4, b"")),
             text(subject.get(5, b"")), text(subject.get(6, b"")), number(len(members)), *map(text, members),
             number(consent[5]), number(consent.get(6, 0)), text(consent.get(7, b""))]
    key = keys.get(originator.decode(), {}).get(consent[8])
    return bool(key) and signed(key, consent[9], b"liaison/consent/v1\0" + b"".join(parts), "consent") is None

class Journal:
    """What the entries of the journal add up to."""
    def __init__(self, agency, keys, own):
        self.agency, self.keys, self.own = agency, keys, own
        self.records, self.lost, self.erasures, self.statements, self.unknown = {}, [], 0, 0, 0
        # The newest note of each feed that was published or receipted, with its size, by the feed's origin.
        self.feeds = {}

    def take(self, at, leaves, entry, content):
        [(event, body)] = [(number, message(value)) for number, value in fields(entry) if number > 1]
        need(event in (3, 4, 18) or not content, f"entry {at}: content where none belongs")
        if event == 3:
            record, is_known = check_record(body, content, self.keys)
            need(record.identity not in self.records, f"entry {at}: a record is accepted twice")
            self.records[record.identity], self.unknown = record, self.unknown + (not is_known)
        elif event in (4, 18, 19):
            record = self.records[body[1]]
            if event == 4:
                record.open |= body[2]
                record.take(content)
            elif event == 18:
                record.erase(body, content)
                self.erasures += 1
            if order := body.get({18: 8, 19: 7}.get(event)):
                self.unknown += not check_order(message(order), record, self.keys)
        elif event in (5, 7):
            origin, size = body[2].decode().split("\n")[:2]
            partner = body[1].decode()
            need(origin.split("/")[:3] == [self.agency, "feed", partner], f"entry {at}: not the feed to {partner}")
            self.feeds[origin] = max(self.feeds.get(origin, (-1, "")), (int(size), body[2].decode()))
        elif event in (34, 35):
            other, own = body[1], self.agency.encode()
            originator, holder = (own, other) if event == 34 else (other, own)
            self.unknown += not check_consent(originator, holder, message(body[2]), self.keys)
            self.statements += 1
        elif event == 26:
            left = head(body[2].decode(), f"{self.agency}/journal", len(self.lost) + 1, self.own)
            need(left == (at, root_of(leaves[:at])), f"entry {at}: what is left is not what was signed")
            self.lost.append(at)

def main(folder):
    own = [card(path) for path in sorted((folder / "cards").iterdir())]
    agency, generation, _, own_keys, own_number = own[-1]
    need({(name, of) for name, *_, of in own} == {(agency, own_number)}, "the agency's cards are of several identities")
    cards = map(card, (folder / "partners").glob("*.txt"))
    keys = {name: found for name, _, _, found, _ in cards} | {agency: own_keys}
    journal = Journal(agency, keys, own)
    for number, leaves, bundle in log(folder, f"{agency}/journal", generation, own):
        contents = parts(tile_file(folder, "content", number, len(bundle)).read_bytes(), 4)
        for at, (entry, content) in enumerate(zip(bundle, contents, strict=True), number * 256):
            journal.take(at, leaves, entry, content)
    gone = [record for record in journal.records.values() if record.is_overwritten]
    need(not gone, "content of a record is gone without an entry that erased it")
    need(generation == len(journal.lost) + 1, "another generation than the journal tells of")
    disclosures = 0
    for origin, (_, note) in sorted(journal.feeds.items()):
        path, (partner, *of) = folder / origin.removeprefix(agency + "/"), origin.split("/")[2:]
        feed = f"{agency}/feed/{partner}", int(*of or [1]), own
        need((path / "checkpoint").is_file(), f"{path}: the journal published this feed, and it is not here")
        held = head(read_text(path / "checkpoint"), *feed)
        need(held == head(note, *feed), f"{path} is not the newest feed that the journal published")
        disclosures += sum(len(bundle) for _, _, bundle in log(path, *feed))
    here = len(list((folder / "feed").glob("**/checkpoint")))
    need(here == len(journal.feeds), f"{here} feeds are here, and the journal published {len(journal.feeds)}")
    print(f"OK {agency} ({own_number}): {len(leaves)} entries, {len(journal.records)} records,",
          f"{journal.erasures} erasures, {journal.statements} statements about consent,",
          f"{journal.unknown} signatures by unknown keys, {disclosures} entries in {here} feeds",
          *(f"; later entries were lost at {at}" for at in journal.lost))

if __name__ == "__main__":
    try:
        main(pathlib.Path(sys.argv[1]))
    except (OSError, ValueError, KeyError, IndexError, StopIteration, TypeError) as error:
        need(False, f"not an export as it must be: {error!r}")
