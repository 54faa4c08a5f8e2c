"""Writes OLE2 compound files, after [MS-CFB]; a container for tests of Zeiss files, sharing no code with the reader."""

from __future__ import annotations

import struct
from pathlib import Path

FREE, END, FAT_SECTOR, NONE = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD, 0xFFFFFFFF
MINI, CUTOFF = 64, 4096


class _Node:
    def __init__(self, name: str, data: bytes | None = None) -> None:
        self.name, self.data = name, data
        self.children: dict[str, _Node] = {}
        self.left = self.right = self.child = NONE
        self.start, self.size, self.number = END, 0, 0


def write_compound(path: Path, streams: dict[str, bytes], *, sector: int = 512, interleave: bool = False) -> Path:
    """Streams by ``storage/name``; ``interleave`` lays the sectors of large ones in turns, so that none is in one piece."""
    root = _Node("Root Entry")
    for name, data in streams.items():
        node = root
        for part in name.split("/"):
            node = node.children.setdefault(part, _Node(part))
        node.data = data
    nodes = _numbered(root)
    mini, minifat = bytearray(), []
    large = []
    for node in nodes[1:]:
        if node.data is None:
            continue
        node.size = len(node.data)
        if node.size >= CUTOFF:
            large.append(node)
        elif node.size:
            count = -(-node.size // MINI)
            node.start = len(minifat)
            minifat += [*range(node.start + 1, node.start + count), END]
            mini += node.data.ljust(count * MINI, b"\0")
    root.size, root.data = len(mini), bytes(mini)
    body: list[bytes] = []
    fat: list[int] = []
    for node in [root, *large] if not interleave else []:
        node.start = _chain(body, fat, node.data or b"", sector)
    if interleave:
        root.start = _chain(body, fat, root.data, sector)
        _in_turns(body, fat, large, sector)
    minifat_start = _chain(body, fat, struct.pack(f"<{len(minifat)}I", *minifat), sector, FREE)
    count = len(minifat) and -(-len(minifat) * 4 // sector)
    directory_start = _chain(body, fat, b"".join(_entry(node) for node in nodes), sector)
    sectors = 1
    while sectors * sector // 4 < len(fat) + sectors:
        sectors += 1
    first = len(fat)
    fat += [FAT_SECTOR] * sectors
    fat += [FREE] * (sectors * sector // 4 - len(fat))
    table = struct.pack(f"<{len(fat)}I", *fat)
    body += [table[k : k + sector] for k in range(0, len(table), sector)]
    assert sectors <= 109, "more than the header's table holds; use larger sectors"
    shift, version = (9, 3) if sector == 512 else (12, 4)
    header = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 16
    header += struct.pack("<HHHHH6x", 0x3E, version, 0xFFFE, shift, 6)
    directory_sectors = 0 if version == 3 else -(-len(nodes) * 128 // sector)
    header += struct.pack("<IIIIIIIIII", directory_sectors, sectors, directory_start, 0, CUTOFF,
                          minifat_start if minifat else END, count, END, 0, first)  # fmt: skip
    header += struct.pack("<108I", *[first + k if k < sectors else FREE for k in range(1, 109)])
    path.write_bytes(header.ljust(sector, b"\0") + b"".join(body))
    return path


def _numbered(root: _Node) -> list[_Node]:
    nodes = [root]

    def settle(node: _Node) -> None:
        children = sorted(node.children.values(), key=lambda c: (len(c.name), c.name.upper()))
        for child in children:
            child.number = len(nodes)
            nodes.append(child)
        node.child = _tree(children)
        for child in children:
            settle(child)

    settle(root)
    return nodes


def _tree(nodes: list[_Node]) -> int:
    if not nodes:
        return NONE
    middle = len(nodes) // 2
    nodes[middle].left, nodes[middle].right = _tree(nodes[:middle]), _tree(nodes[middle + 1 :])
    return nodes[middle].number


def _chain(body: list[bytes], fat: list[int], data: bytes, sector: int, fill: int = 0) -> int:
    if not data:
        return END
    start, count = len(body), -(-len(data) // sector)
    padding = struct.pack("<I", fill) * (sector // 4)
    body += [(data[k * sector : (k + 1) * sector] + padding)[:sector] for k in range(count)]
    fat += [*range(start + 1, start + count), END]
    return start


def _in_turns(body: list[bytes], fat: list[int], nodes: list[_Node], sector: int) -> None:
    pieces = {
        node: [node.data[k : k + sector].ljust(sector, b"\0") for k in range(0, node.size, sector)] for node in nodes
    }
    last: dict[_Node, int] = {}
    for turn in range(max(map(len, pieces.values()), default=0)):
        for node, parts in pieces.items():
            if turn < len(parts):
                here = len(body)
                body.append(parts[turn])
                fat.append(END)
                if node in last:
                    fat[last[node]] = here
                else:
                    node.start = here
                last[node] = here


def _entry(node: _Node) -> bytes:
    name = node.name.encode("utf-16-le")
    kind = 5 if node.number == 0 else 2 if node.data is not None else 1
    return (
        name.ljust(64, b"\0")
        + struct.pack("<HBBIII", len(name) + 2, kind, 1, node.left, node.right, node.child)
        + b"\0" * 36
        + struct.pack("<IQ", node.start if kind != 1 else 0, node.size)
    )
