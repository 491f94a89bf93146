"""Readers of milvus-hpc's result files (docs/results.md): report, compare, scaling and export. They know nothing else of the program."""
