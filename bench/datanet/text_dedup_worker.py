"""Runs text-dedup's MinHash over the rows, and writes the cluster of each as an int32: python text_dedup_worker.py ROWS FOLDER CLUSTERS COUNT"""

import pickle
import subprocess
import sys

import numpy

rows, folder, clusters, count = sys.argv[1:]
command = [sys.executable, "-m", "text_dedup.minhash", "--path", "json", "--data_files", rows, "--split", "train"]
command += ["--cache_dir", f"{folder}/cache", "--output", f"{folder}/output", "--column", "text"]
command += ["--ngram", "5", "--num_perm", "128", "--threshold", "0.7", "--hash_func", "xxh3", "--batch_size", "10000"]
subprocess.run([*command, "--debug"], check=True, stdout=subprocess.DEVNULL)
with open(f"{folder}/output/uf.pkl", "rb") as file:
    found = pickle.load(file)
parents = getattr(found, "parent", found)


def root(row):
    while parents.get(row, row) != row:
        row = parents[row]
    return row


numpy.array([root(row) for row in range(int(count))], dtype="int32").tofile(clusters)
