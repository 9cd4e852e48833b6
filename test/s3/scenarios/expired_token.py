"""The session token expires; the credential process is asked for another one."""
import os
import scripted_server
from scripted_server import Store, error


class Scenario(Store):
    def before(self, request):
        return error(400, 'ExpiredToken') if request.headers.get('x-amz-security-token') == 'token-1' else None


def test(t):
    for name in ('AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY'):
        del t.environment[name]
    os.mkdir(f'{t.folder}/.aws')
    with open(f'{t.folder}/give keys', 'w') as script:
        script.write(f'#!/bin/sh\necho x >>"{t.folder}/asked"\nn=$(wc -l <"{t.folder}/asked")\n'
                     f'printf \'{{"Version":1,"AccessKeyId":"{scripted_server.ACCESS_KEY}","SecretAccessKey":"{scripted_server.SECRET_KEY}",'
                     f'"SessionToken":"token-%s"}}\' $((n))\n')
    os.chmod(f'{t.folder}/give keys', 0o700)
    with open(f'{t.folder}/.aws/config', 'w') as config:
        config.write(f'[default]\ncredential_process = "{t.folder}/give keys" "$(touch {t.folder}/shell)"\n')
    t.secrets.append('token-1')
    t.proved('refreshed', t.probe('upload', 'k', t.file(6 << 20), '--lock-seconds', 60), 'locked')
    with open(f'{t.folder}/asked') as asked:
        t.is_('asked twice', len(asked.read().split()), 2)
    t.is_('no shell', os.path.exists(f'{t.folder}/shell'), False)
