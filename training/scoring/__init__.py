"""Predictions for whole files, Parquet or CSV, of any size, in constant memory.

    plan: files -> parts  |  each part: read -> check -> predict -> write  |  close: rejected.csv

A part is a run of consecutive rows of a file. It is scored by itself and written atomically, so parts may
run on several cores or machines, and an interrupted scoring goes on with those that are not done.
"""
