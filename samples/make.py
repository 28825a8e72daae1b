#!/usr/bin/env python3
"""Makes damaged.db: a small shop's database, then damage. Every name and number in it is invented.

    python3 make.py [OUT.db]

The rows depend on nothing but this script. The bytes of a page may differ between versions of SQLite;
the pages that are damaged are chosen by what they hold, and printed.
"""

import os
import random
import sqlite3
import sys
import tempfile

PAGE = 4096
CUSTOMERS = 420
ORDERS = 900

FIRST = """Aaliyah Adaeze Amira Anders Beatriz Bogdan Chiara Daniel Elif Emeka Farid Greta Hana Ilse Ivan
Jonas Kavya Leila Li Mateo Mei Nadia Noor Olga Pavel Quynh Rosa Samir Sofia Tariq Uma Viktor Wanjiru Yusuf Zofia""".split()
LAST = """Abara Almeida Bakker Chen Costa Dubois Eriksen Farouk Garcia Haddad Ito Jansen Kaya Kowalski Laurent
Mbeki Moreau Nakamura Novak Okafor Olsen Patel Quispe Rossi Sato Silva Tamm Ueda Varga Wei Weber Ximenes Yilmaz Zhou""".split()
STREETS = "Harbour Mill Station Garden Church Market Bridge Orchard Quarry Lime Ferry Castle".split()
TOWNS = "Ashwick Bellmoor Crayford Dunmere Elmstead Farleigh Gorsby Hollin Inverley Kestrel".split()
ARTICLES = "kettle lamp blanket ladder notebook teapot clock shelf basket chair".split()


def build(path):
    """Writes the sound database and returns it as bytes."""
    rng = random.Random(20)
    db = sqlite3.connect(path)
    db.executescript(f"""
        PRAGMA page_size={PAGE};
        PRAGMA secure_delete=OFF;
        CREATE TABLE customers(
          id INTEGER PRIMARY KEY,
          name TEXT NOT NULL,
          email TEXT NOT NULL,
          phone TEXT,
          address TEXT,
          joined TEXT NOT NULL,
          balance REAL NOT NULL DEFAULT 0
        );
        CREATE TABLE orders(
          id INTEGER PRIMARY KEY,
          customer INTEGER NOT NULL REFERENCES customers(id),
          article TEXT NOT NULL,
          quantity INTEGER NOT NULL,
          total REAL NOT NULL,
          placed TEXT NOT NULL
        );
        CREATE INDEX customers_by_email ON customers(email);
        CREATE INDEX orders_by_customer ON orders(customer);
    """)

    def date():
        return f"{rng.randint(2019, 2026)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"

    for number in range(1, CUSTOMERS + 1):
        first, last = rng.choice(FIRST), rng.choice(LAST)
        phone = f"+44 1632 960{rng.randint(0, 999):03}" if rng.random() < 0.8 else None
        address = f"{rng.randint(1, 140)} {rng.choice(STREETS)} Road, {rng.choice(TOWNS)}"
        row = (number, f"{first} {last}", f"{first}.{last}{number}@example.org".lower(), phone, address, date(),
               round(rng.uniform(-50, 900), 2))
        db.execute("INSERT INTO customers VALUES (?, ?, ?, ?, ?, ?, ?)", row)
    for number in range(1, ORDERS + 1):
        quantity = rng.randint(1, 6)
        row = (number, rng.randint(1, CUSTOMERS), rng.choice(ARTICLES), quantity,
               round(quantity * rng.uniform(4, 80), 2), date())
        db.execute("INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?)", row)
    db.commit()
    db.close()
    with open(path, "rb") as file:
        return bytearray(file.read())


def children(pages, root):
    """The children of a tree's root page, in key order, and where each pointer stands in the file."""
    at = (root - 1) * PAGE
    count = int.from_bytes(pages[at + 3:at + 5], "big")
    found = []
    for number in range(count):
        cell = int.from_bytes(pages[at + 12 + 2 * number:at + 14 + 2 * number], "big")
        found.append((int.from_bytes(pages[at + cell:at + cell + 4], "big"), at + cell))
    found.append((int.from_bytes(pages[at + 8:at + 12], "big"), at + 8))
    return found


def damage(pages, roots):
    """Three accidents, each to another part."""
    customers, orders = children(pages, roots["customers"]), children(pages, roots["orders"])

    page, _ = customers[1]
    start = (page - 1) * PAGE
    pages[start:start + 512] = bytes(512)
    print(f"page {page}: first sector of a leaf of customers zeroed (512 bytes at {start:#x})")

    page, _ = customers[4]
    start = (page - 1) * PAGE
    pages[start:start + PAGE] = random.Random(4).randbytes(PAGE)
    print(f"page {page}: a leaf of customers overwritten with noise ({PAGE} bytes at {start:#x})")

    page, pointer = orders[2]
    pages[pointer:pointer + 4] = (0x00ffffff).to_bytes(4, "big")
    print(f"page {roots['orders']}: the pointer to page {page}, a leaf of orders, broken (4 bytes at {pointer:#x})")


def main():
    out = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "damaged.db")
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "sound.db")
        pages = build(path)
        db = sqlite3.connect(path)
        roots = dict(db.execute("SELECT name, rootpage FROM sqlite_schema"))
        db.close()
    damage(pages, roots)
    with open(out, "wb") as file:
        file.write(pages)


if __name__ == "__main__":
    main()
