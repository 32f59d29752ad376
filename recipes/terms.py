"""The license of the shipped models, as their cards state it."""

LICENSE = """\
## License

The weights are part of this project and under its license, MIT. The photos are not: each source keeps the terms in
the table, and most state none. They were collected for developing and benchmarking only. If you want to use the weights
for anything else, or to pass them on, check whether these terms allow it where you are.
"""
