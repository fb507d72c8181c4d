"""Measurements that anyone can repeat: `kolab bench NAME` runs `kolab.benches.NAME.run(quick=…)` and records its table.

`run` returns a DataFrame and a dict of what a reader needs to judge it: seeds, data, settings.
"""
