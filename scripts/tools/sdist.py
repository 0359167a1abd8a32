"""Fetches one source distribution with pip's own search, and builds nothing.

`pip download` runs the build backend of a source distribution to learn its metadata. These files are read and never
run, so this stops where pip has found the file. It uses pip's inner modules, so pip's version is pinned as well.

  sdist.py PROJECT==VERSION FOLDER
"""

import sys
from pathlib import Path

from pip._internal.commands import create_command
from pip._vendor.packaging.requirements import Requirement

spec, folder = sys.argv[1:]
command = create_command("download")
options, _ = command.parse_args(["--no-binary", ":all:", "--no-deps", spec])
with command.main_context():
    session = command.get_default_session(options)
    finder = command._build_package_finder(options, session)
    wanted = Requirement(spec)
    link = finder.find_best_candidate(wanted.name, wanted.specifier).best_candidate.link
    answer = session.get(link.url_without_fragment)
    answer.raise_for_status()
    Path(folder, link.filename).write_bytes(answer.content)
