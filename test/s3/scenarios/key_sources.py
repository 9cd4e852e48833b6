"""Keys from a container's endpoint, from IMDSv2 and from STS by a web identity, over real HTTP."""
import json

from scripted_server import ACCESS_KEY, SECRET_KEY, Answer, Store

KEYS = {'AccessKeyId': ACCESS_KEY, 'SecretAccessKey': SECRET_KEY, 'Token': 'the-session-token', 'Expiration': '2099-01-01T00:00:00Z'}
STS = ('<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>{AccessKeyId}</AccessKeyId>'
       '<SecretAccessKey>{SecretAccessKey}</SecretAccessKey><SessionToken>{Token}</SessionToken><Expiration>{Expiration}</Expiration>'
       '</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>').format(**KEYS)


class Scenario(Store):
    tokens = []

    def handle(self, request):
        headers = request.headers
        if request.path == '/latest/api/token':
            return Answer(200, 'imds') if request.method == 'PUT' and headers.get('x-aws-ec2-metadata-token-ttl-seconds') else Answer(400)
        if request.path.startswith('/latest/meta-data/iam/security-credentials/'):
            if headers.get('x-aws-ec2-metadata-token') != 'imds':
                return Answer(401)
            return Answer(200, json.dumps(KEYS) if request.path.endswith('/role') else 'role\n')
        if request.path == '/container':
            return Answer(200, json.dumps(KEYS)) if headers.get('authorization') == 'container token' else Answer(403)
        if request.path == '/' and request.method == 'POST':
            return Answer(200, STS) if b'WebIdentityToken=web.token.x&' in request.body + b'&' else Answer(400, '<Error/>')
        self.tokens.append(headers.get('x-amz-security-token'))
        return super().handle(request)


def test(t):
    url = f'http://127.0.0.1:{t.server.server_port}'
    for name in ('AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_EC2_METADATA_DISABLED'):
        del t.environment[name]
    t.secrets.append('the-session-token')
    plain = dict(t.environment)
    with open(t.folder + '/token', 'w') as file:
        file.write('web.token.x\n')
    sources = {
        "the container's endpoint": {'AWS_CONTAINER_CREDENTIALS_FULL_URI': url + '/container', 'AWS_CONTAINER_AUTHORIZATION_TOKEN': 'container token'},
        "the instance's metadata service": {'AWS_EC2_METADATA_SERVICE_ENDPOINT': url},
        'STS (web identity)': {'AWS_WEB_IDENTITY_TOKEN_FILE': t.folder + '/token', 'AWS_ROLE_ARN': 'arn:aws:iam::1:role/r', 'AWS_ENDPOINT_URL_STS': url},
    }
    for source, variables in sources.items():
        t.environment = {**plain, **variables, 'http_proxy': 'http://127.0.0.1:9', 'no_proxy': '127.0.0.1'}
        t.is_(source, t.probe('who').json.get('source'), source)
        t.store.tokens.clear()
        t.proved(f'{source}: used', t.probe('put', 'k', t.file(10), '--lock-seconds', 60), 'locked')
        t.is_(f'{source}: its token goes along', set(t.store.tokens), {'the-session-token'})
