#!/usr/bin/env python3
"""Runs the scenarios of test/s3/scenarios against s3_probe; one TAP line for every check, without numbers.

  run_scenarios.py S3_PROBE [NAME...]
"""
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import traceback

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE))
import scripted_server  # noqa: E402

FAILED = 0


def report(good, what, note=''):
    global FAILED
    FAILED += not good
    print(('ok' if good else 'not ok') + ' - ' + what)
    if not good:
        for line in str(note).splitlines()[-20:]:
            print('# ' + line)
    sys.stdout.flush()


class Result:
    def __init__(self, done):
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr
        self.json = json.loads(done.stdout) if done.returncode == 0 else {}

    def __str__(self):
        return f'exit code {self.code}\n{self.out}\n{self.err}'


class Test:
    """What a scenario's test(t) gets: the store, the probe, files, checks."""

    def __init__(self, name, probe, store, folder):
        self.name, self.program, self.store, self.folder = name, probe, store, folder
        self.server = scripted_server.Server(store)
        self.environment = {'PATH': os.environ['PATH'], 'HOME': folder, 'AWS_EC2_METADATA_DISABLED': 'true',
                            'AWS_ACCESS_KEY_ID': scripted_server.ACCESS_KEY,
                            'AWS_SECRET_ACCESS_KEY': scripted_server.SECRET_KEY}
        for option in ('ASAN_OPTIONS', 'UBSAN_OPTIONS', 'TSAN_OPTIONS'):
            if option in os.environ:
                self.environment[option] = os.environ[option]
        self.secrets = [scripted_server.SECRET_KEY]

    def file(self, size, name='file'):
        path = os.path.join(self.folder, name)
        with open(path, 'wb') as out:
            out.write(os.urandom(size))
        return path

    def probe(self, *arguments):
        command = [self.program, '--bucket', 'bucket', '--endpoint', f'http://127.0.0.1:{self.server.server_port}', *map(str, arguments)]
        result = Result(subprocess.run(command, capture_output=True, text=True, timeout=120, env=self.environment, stdin=subprocess.DEVNULL))
        if any(secret in result.out + result.err for secret in self.secrets):
            report(False, f'{self.name}: no secret is shown', result)
        return result

    def is_(self, what, have, want):
        report(have == want, f'{self.name}: {what}', f'have: {have!r}\nwant: {want!r}')

    def proved(self, what, result, state, how=None):
        have = (result.json.get('state'), result.json.get('how'))
        report(have[0] == state and how in (None, have[1]), f'{self.name}: {what}', result)

    def fails(self, what, result, code, text):
        report(result.code == code and text in result.err, f'{self.name}: {what}', f'wanted {code} {text}\n{result}')

    def contents(self, key, path):
        versions = [v for v in self.store.versions.get(key, []) if not v.marker]
        with open(path, 'rb') as file:
            content = file.read()
        self.is_(f'{key} is in the store once, byte for byte', [v.body == content for v in versions], [True])
        self.is_('no upload is left behind', len(self.store.uploads), 0)


def run(path, probe):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    scenario = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(scenario)
    with tempfile.TemporaryDirectory(prefix='immbackup-s3.') as folder:
        test = Test(path.stem, probe, scenario.Scenario(), folder)
        try:
            scenario.test(test)
        except Exception:
            report(False, f'{path.stem}: the scenario ran to its end', traceback.format_exc())
        finally:
            test.server.stop()
        problems = {f'{request}: {problem}' for request in test.store.seen for problem in request.problems}
        report(not problems, f'{path.stem}: {len(test.store.seen)} requests are signed whole, and writes carry both digests', '\n'.join(problems))


def main():
    probe, names = os.path.abspath(sys.argv[1]), sys.argv[2:]
    for path in sorted((HERE / 'scenarios').glob('*.py')):
        if not names or path.stem in names:
            run(path, probe)
    sys.exit(FAILED != 0)


main()
