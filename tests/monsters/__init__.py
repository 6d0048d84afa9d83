"""Files made to burst whoever reads them, and a process that reads them with its memory looked at.

``python -m tests.monsters.reading FOLDER`` makes each file, has it looked at, previewed and imported, and prints one line
of JSON for each: what came of it, and how much memory that took. ``DUBAN_MONSTER_MIB=1024`` makes gigabytes of what is
otherwise less than a tenth of one.
"""
