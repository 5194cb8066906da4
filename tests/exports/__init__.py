"""Small programs that use exported folders without Luban: one for each sort of task.

``python -m exports FOLDER RECORDS.jsonl`` (in ``tests/``) prints the answer to each record, as
``luban predict`` would; each module can be copied with ``program.py`` and used alone.
"""
