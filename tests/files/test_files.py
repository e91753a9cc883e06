"""Every line of docs/reading-the-files.md, with the tools it speaks of, against a file with all that they stumble over."""

import contextlib
import csv
import io
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest
import zipfile
from decimal import Decimal
from xml.etree import ElementTree

import duckdb
import pandas
import polars

from tests.live.service import ROOT, Service
from tests.live.tracker import Tracker

PAGE = ROOT / "docs" / "reading-the-files.md"
QUESTION = "group_by=affiliate,country,hour&preset=yesterday"

ROWS = 21_000
# The first row with impressions: further down than any tool looks that guesses by a sample.
FIRST_IMPRESSIONS = 20_500
MONEY = (360, 152.5, 104.975, 0.0001, 12)
COUNTRIES = ("NA", "DE", "US", "GB", "JP")


def awkward_row(number):
    """Ids with zeros at the front, Namibia, hours, quotes and commas, and money of every scale."""
    affiliate, country, hour = number // 120, number // 24 % 5, number % 24
    row = {
        "slice": {
            "affiliate": {"id": f"{affiliate:03}", "title": f'Nordwind, "Söhne" {affiliate}'},
            "country": COUNTRIES[country],
            "hour": hour,
        },
        "traffic": {"raw": str(number), "uniq": "9"},
        "actions": {"confirmed": {"count": 1, "charge": MONEY[number % 5], "revenue": 0.1, "earning": 0}},
    }
    return row if number < FIRST_IMPRESSIONS else row | {"views": number}


def expected():
    """What every reader must come to: ids, and the numbers as they are."""
    for number in range(ROWS):
        row = awkward_row(number)
        ids = (row["slice"]["affiliate"]["id"], row["slice"]["country"], f"{row['slice']['hour']:02}")
        yield *ids, row.get("views"), number, Decimal(str(MONEY[number % 5])), None, "USD"


COLUMNS = ["affiliate_id", "country_id", "hour_id", "impressions", "clicks", "revenue", "cost", "currency"]
EXPECTED = list(expected())
TOTAL = sum(row[5] for row in EXPECTED)
TEN_THOUSANDTHS = int(TOTAL * 10_000)


def blocks():
    """The blocks of the page, by heading and language."""
    found, heading = {}, ""
    lines = iter(PAGE.read_text().splitlines())
    for line in lines:
        if line.startswith("## "):
            heading = line.removeprefix("## ")
        elif match := re.fullmatch(r"```(\w+)", line):
            text = "\n".join(iter(lambda: next(lines), "```"))
            found.setdefault((heading, match[1]), []).append(text)
    return found


class Files(unittest.TestCase):
    maxDiff = 2_000

    @classmethod
    def setUpClass(cls):
        stack = contextlib.ExitStack()
        cls.addClassCleanup(stack.close)
        cls.folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="files-")))
        stack.enter_context(contextlib.chdir(cls.folder))
        tracker = Tracker(ROWS, awkward_row)
        stack.callback(tracker.stop)
        cls.service = Service()
        stack.callback(cls.service.stop)
        cls.connection = cls.service.create(tracker.connection("Nordwind"))
        cls.blocks = blocks()
        cls.done = set()
        cls.run_sh("Get the files", 0)

    @classmethod
    def block(cls, heading, language, place):
        cls.done.add((heading, language, place))
        return cls.blocks[heading, language][place]

    @classmethod
    def run_sh(cls, heading, place):
        """Runs a block of commands; what it printed."""
        environment = os.environ | {
            "PATH": f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(cls.folder),
            "AFFZERO_URL": cls.service.url,
            "AFFZERO_TOKEN": cls.service.token,
            "CONNECTION": cls.connection,
        }
        script = cls.block(heading, "sh", place)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{heading}: {done.stderr} {done.stdout}"
        return done.stdout

    def run_python(self, heading, place):
        """Runs a block of Python; the table that it made."""
        names = {}
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile(self.block(heading, "python", place), f"{PAGE.name}, {heading}", "exec"), names)
        self.assertIn(str(TOTAL), printed.getvalue())
        return names["table"]

    def run_sql(self, place):
        database = duckdb.connect()
        sums = database.execute(self.block("DuckDB", "sql", place)).fetchall()
        self.assertEqual(sums, [("USD", TOTAL)])
        return database.execute(f"SELECT {', '.join(COLUMNS)} FROM stats").fetchall()

    def are_the_rows(self, rows):
        rows = list(rows)
        self.assertEqual(len(rows), ROWS)
        for row, right in zip(rows, EXPECTED):
            self.assertEqual(row, right)

    def test_the_file_is_written_so_that_nobody_guesses_wrong(self):
        text = pathlib.Path("stats.csv").read_text()
        head, first, *_ = text.splitlines()
        self.assertTrue(all(key.startswith('"') and key.endswith('"') for key in head.split(",")), head)
        self.assertIn(",360.0000,", first)
        with open("stats.csv", newline="") as lines:
            rows = list(csv.DictReader(lines))
        for column, decimals in (("revenue", 4), ("payout", 4), ("profit", 4), ("cr", 6), ("epc", 6)):
            for row in rows:
                if cell := row[column]:
                    self.assertEqual(len(cell.partition(".")[2]), decimals, f"{column}: {cell}")
        named = [path.name for path in self.folder.glob("Nordwind*.csv")]
        self.assertEqual(len(named), 1, "the name has the connection, the days and the zone")
        self.assertRegex(named[0], r"^Nordwind_\d{4}-\d\d-\d\d_\d{4}-\d\d-\d\d_UTC\.csv$")
        self.assertEqual(pathlib.Path(named[0]).read_text(), text)

    def test_pandas_reads_csv(self):
        table = self.run_python("pandas", 0)
        self.are_the_rows(plain(table[COLUMNS].itertuples(index=False)))

    def test_pandas_reads_ndjson(self):
        table = self.run_python("pandas", 1)
        names = [name.replace("_id", ".id") for name in COLUMNS]
        self.are_the_rows(plain(table[names].itertuples(index=False)))

    def test_polars_reads_csv(self):
        self.are_the_rows(self.run_python("polars", 0).select(COLUMNS).iter_rows())

    def test_polars_reads_ndjson(self):
        self.are_the_rows(self.run_python("polars", 1).select(COLUMNS).iter_rows())

    def test_duckdb_reads_csv(self):
        self.are_the_rows(self.run_sql(0))

    def test_duckdb_reads_ndjson(self):
        self.are_the_rows(self.run_sql(1))

    def test_miller_adds_up_both(self):
        for place in (0, 1):
            self.assertEqual(self.run_sh("Miller", place).split(), ["currency,ten_thousandths_sum", f"USD,{TEN_THOUSANDTHS}"])

    def test_jq_adds_up(self):
        self.assertEqual(self.run_sh("jq", 0), f'"USD","{TOTAL.normalize()}"\n')
        self.assertEqual(self.run_sh("jq", 1), f'"USD",{TEN_THOUSANDTHS}\n')

    def test_csvkit_keeps_cells_and_adds_up(self):
        self.assertEqual(Decimal(self.run_sh("csvkit", 0).replace(",", "")), TOTAL)
        rows = [json.loads(line) for line in pathlib.Path("csvkit.ndjson").read_text().splitlines()]
        numbers = {"impressions": int, "clicks": int, "revenue": Decimal, "cost": Decimal}
        read = lambda key, text: numbers[key](text) if text and key in numbers else (text or None)  # noqa: E731
        self.are_the_rows(tuple(read(key, row[key]) for key in COLUMNS) for row in rows)

    def test_libreoffice_keeps_ids_and_hours_and_reads_money(self):
        self.run_sh("LibreOffice", 0)
        head, *rows = spreadsheet("stats.ods")
        self.assertEqual(len(rows), ROWS)
        places = [head.index(column) for column in COLUMNS]
        for row, right in zip(rows, EXPECTED):
            cells = [row[place] for place in places]
            read = [None if right is None and cell == "" else cell for cell, right in zip(cells, right)]
            self.assertEqual(tuple(read), right)

    def test_no_money_is_a_thousand_times_as_large_in_german(self):
        # As a double click reads it where the decimal sign is a comma.
        subprocess.run(
            ["soffice", "--headless", "--infilter=CSV:44,34,76,1,,1031", "--convert-to", "ods:calc8", "--outdir", "german", "stats.csv"],
            check=True, capture_output=True, env=os.environ | {"HOME": str(self.folder)},
        )  # fmt: skip
        head, *rows = spreadsheet("german/stats.ods")
        place = head.index("revenue")
        self.assertEqual({row[place] for row in rows}, {"360.0000", "152.5000", "104.9750", "0.0001", "12.0000"})

    def test_without_the_lines_the_tools_do_what_the_page_says(self):
        table = pandas.read_csv("stats.csv")
        self.assertEqual((table["affiliate_id"][840], table["country_id"].isna().sum()), (7, ROWS // 5))
        self.assertEqual(str(table["revenue"].dtype), "float64")
        self.assertEqual(len(pandas.read_json("stats.ndjson", lines=True)), ROWS + 1)
        types = polars.read_csv("stats.csv").schema
        self.assertEqual((types["affiliate_id"], types["impressions"]), (polars.Int64, polars.String))
        with self.assertRaises(polars.exceptions.ComputeError):
            polars.read_ndjson("stats.ndjson")
        (money,) = duckdb.sql("SELECT DISTINCT typeof(revenue) FROM 'stats.csv'").fetchall()
        self.assertEqual(money, ("DOUBLE",))
        (counts,) = duckdb.sql("SELECT count(*), count(impressions) FROM 'stats.ndjson'").fetchall()
        self.assertEqual(counts, (ROWS + 1, 0))
        miller = ["mlr", "--ijsonl", "--ojson", "stats1", "-a", "sum", "-f", "revenue", "rows.ndjson"]
        self.assertEqual(json.loads(subprocess.check_output(miller)), [{"revenue_sum": 0}])
        with open("stats.csv") as lines, open("head.csv", "w") as head:
            head.writelines(line for number, line in enumerate(lines) if number == 0 or number > 840)
        csvjson = pathlib.Path(sys.executable).parent / "csvjson"
        first = json.loads(subprocess.check_output([csvjson, "head.csv"]))[0]
        guessed = (first["affiliate_id"], first["country_id"], first["conversions"], first["hour_name"])
        self.assertEqual(guessed, (7, None, True, "0:00:00"))

    def test_the_page_names_the_versions_that_are_tried(self):
        page = PAGE.read_text()
        for name, version in (("pandas", pandas.__version__), ("polars", polars.__version__), ("DuckDB", duckdb.__version__)):
            self.assertIn(f"{name} {version}", page)

    @classmethod
    def tearDownClass(cls):
        every = {(*key, place) for key, found in cls.blocks.items() for place in range(len(found))}
        if missing := every - cls.done:
            raise AssertionError(f"nobody runs {missing}")


def plain(rows):
    """Rows of pandas, with nothing for what is missing."""
    for row in rows:
        yield tuple(None if cell is None or cell is pandas.NA or cell != cell else cell for cell in row)


OFFICE = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"


def spreadsheet(path):
    """The rows of a spreadsheet: numbers as decimals, texts as they are."""
    with zipfile.ZipFile(path) as file, file.open("content.xml") as content:
        sheet = ElementTree.parse(content).getroot().iter(f"{TABLE}table-row")
        for row in sheet:
            cells = []
            for cell in row.iter(f"{TABLE}table-cell"):
                value = cell.get(f"{OFFICE}value")
                shown = "".join(cell.itertext()) if value is None else Decimal(value)
                cells += [shown] * int(cell.get(f"{TABLE}number-columns-repeated", "1"))
            if any(cell != "" for cell in cells):
                yield cells


if __name__ == "__main__":
    unittest.main()
