"""The license of the shipped models, as their cards state it."""

LICENSE = """\
## License

The weights are part of this project and under its license, MIT. The photos are not: each source keeps the terms in the
table, and most state none. The photos were collected for development and benchmarks only. Before you use the weights
for anything else, or pass them on, check whether these terms allow that in your country.
"""
