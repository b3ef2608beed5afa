"""Reads a Parquet file with pyarrow and DuckDB: prints the rows of each as JSON, `{"pyarrow": [...], "duckdb": [...]}`."""

import json
import sys

import duckdb
import pyarrow.parquet as pq

path = sys.argv[1]
with_duckdb = duckdb.from_parquet(path)
names = [column for column in with_duckdb.columns]
json.dump(
    {
        "pyarrow": pq.read_table(path).to_pylist(),
        "duckdb": [dict(zip(names, row)) for row in with_duckdb.fetchall()],
    },
    sys.stdout,
)
