#!/usr/bin/env bash
# Writes into the documentation what the program says of itself: the table of settings in
# docs/configuration.md and the help texts in docs/cli.md. The suite `docs` tells where they differ.
#
#   scripts/update-docs.sh [PROGRAM]      PROGRAM: the immbackup to ask (default: build/immbackup)
set -euo pipefail
cd "$(dirname "$0")/.."
exec python3 - "${1:-build/immbackup}" <<'PYTHON'
import re, subprocess, sys

def says(*arguments):
    return subprocess.run([sys.argv[1], *arguments], capture_output=True, text=True, check=True).stdout.strip()

def rewrite(path, change):
    with open(path) as file: text = change(file.read())
    with open(path, 'w') as file: file.write(text)

def with_table(text):
    return text[:text.index('| setting |')] + says('settings', '--markdown') + '\n'

def with_help(text):
    sections = dict(re.findall(r'^### immbackup ([a-z ]+)\n\n```\n.*?\n```\n(.*?)(?=^##|\Z)', text, re.M | re.S))
    top = says('--help')
    commands = []
    for name in re.findall(r'^  ([a-z]+) ', top[top.index('Subcommands:'):], re.M):
        commands += [name] + (['audit verify'] if name == 'audit' else [])
    body = ''
    for name in commands:
        after = sections.get(name, '\n')
        body += f'### immbackup {name}\n\n```\n{says(*name.split(), "--help")}\n```\n{after}'
    return text[:text.index('### immbackup ')] + body + text[text.index('## Exit codes'):]

rewrite('docs/configuration.md', with_table)
rewrite('docs/cli.md', with_help)
PYTHON
