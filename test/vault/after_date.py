#!/usr/bin/env python3
"""after_date.py HELPER: a seal of seconds holds until its date and not longer, and what else keeps an artifact does."""
import sys
import time

from client import Refused, Vault, stamp

stems = [time.strftime('%Y%m%dT%H%M%SZ.dated', time.gmtime(time.time() + n)) for n in range(3)]
with Vault(sys.argv[1]) as v:
    if v.ask('status')['log'] == '0':
        v.append('instance_created', b'{"instance":"x"}')
    for stem in stems:
        v.put(stem, 'dated', b'x' * 1000, stamp(time.time() + 2))
    for _ in range(200):
        try:
            v.ask('purge', stem=stems[0], reason='its date has come')
            break
        except Refused as refusal:
            assert refusal.code == 'permission', refusal
            last = refusal
            time.sleep(0.1)
    else:
        sys.exit('never: %s' % last)
    sealed = {i['stem']: i for w, i in v.list() if w == 'artifact'}
    assert stems[0] not in sealed and stems[1] in sealed
    v.ask('hold', stem=stems[1], actor='me', reason='a lawsuit')
    for stem, why in ((stems[1], 'held'), (stems[2], 'newest')):
        for _ in range(100):
            try:
                v.ask('purge', stem=stem)
                sys.exit('purged although it is %s' % why)
            except Refused as refusal:
                if why in refusal.message:
                    break
                assert 'sealed until' in refusal.message or 'too short' in refusal.message, refusal
                time.sleep(0.1)
        else:
            sys.exit('it does not say that it is %s' % why)
print('the date counts')
